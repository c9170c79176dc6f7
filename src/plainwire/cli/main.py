"""The command `plainwire`. Each file in cli/commands/ defines a subcommand, and is loaded when it is used."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import click

from plainwire.cli import commands
from plainwire.errors import PlainwireError


class Commands(click.Group):
    """Finds subcommands by themselves, and imports only the one that is run."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(info.name for info in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{commands.__name__}.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, but reads what each command says of itself instead of importing all that it needs."""
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _described(name).get_short_help_str(room)) for name in names])


def _described(name: str) -> click.Command:
    """A command that has the help of a subcommand, and nothing else of it."""
    source = Path(commands.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return click.Command(name, help=next(ast.get_docstring(node) for node in functions if node.name == "command"))


@click.group(cls=Commands)
@click.version_option(package_name="plainwire")
def plainwire() -> None:
    """What does this program really send? TLS plaintext, keys and packets, without a proxy or a certificate."""


def main() -> None:
    """Runs the command; what the user can act on is one line on stderr and an exit status, never a traceback."""
    try:
        plainwire()
    except PlainwireError as error:
        from plainwire.outputs.clean import clean_name  # noqa: PLC0415  # with all outputs, when something is wrong

        print(f"plainwire: {clean_name(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
