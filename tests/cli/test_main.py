"""The command without a subcommand, and how little it loads."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from plainwire import __version__
from plainwire.cli.main import plainwire as group
from tests.support.plainwire import plainwire

COMMANDS = group.list_commands(click.Context(group))


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a run of plainwire has loaded at its end."""
    program = (
        "import sys; from plainwire.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(run.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_of_each_command_what_it_tells_of_itself(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    (line,) = [line for line in plainwire("--help").stdout.splitlines() if line.split()[:1] == [name]]
    told = line.split(maxsplit=1)[1].removesuffix("...")
    assert told
    assert " ".join((command.help or "").split()).startswith(told)


def test_help_loads_no_command() -> None:
    loaded = loaded_by("--help")
    assert "plainwire.cli.main" in loaded
    assert loaded.isdisjoint({f"plainwire.cli.commands.{name}" for name in COMMANDS})


def test_a_capture_loads_neither_asyncio_nor_the_disassembler_before_it_needs_them() -> None:
    loaded = loaded_by("capture", "--help")
    assert "plainwire.kernel.engine" in loaded
    assert loaded.isdisjoint({"asyncio", "capstone", "importlib.metadata"})


def test_version() -> None:
    assert plainwire("--version").stdout == f"plainwire, version {__version__}\n"
