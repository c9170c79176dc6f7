"""The command `plainwire`. Each file in cli/commands/ defines a subcommand, and is loaded when it is used."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys

import click

from plainwire.cli import commands
from plainwire.errors import PlainwireError
from plainwire.outputs.clean import clean_name


class Commands(click.Group):
    """Finds subcommands by themselves, and imports only the one that is run: `plainwire --help` stays quick."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(info.name for info in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{commands.__name__}.{name}").command
        return command


@click.group(cls=Commands)
@click.version_option(package_name="plainwire")
def plainwire() -> None:
    """What does this program really send? TLS plaintext, keys and packets, without a proxy or a certificate."""


def main() -> None:
    """Runs the command; what the user can act on is one line on stderr and an exit status, never a traceback."""
    try:
        plainwire()
    except PlainwireError as error:
        print(f"plainwire: {clean_name(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
