"""The options for outputs, which a live capture and a recording share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from plainwire.cli.messages import say
from plainwire.errors import InputError
from plainwire.outputs import FormatName, Output, OutputSet, open_output
from plainwire.outputs.keylog import open_keylog

F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--hex", "as_hex", is_flag=True, help="Show payloads as hex dumps."),
    click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line (docs/json.md)."),
    click.option("--out", type=_PATH, metavar="FILE", help="Write there instead of to the terminal."),
    click.option(
        "--keylog", type=_PATH, metavar="FILE", help="Append the connections' secrets, for Wireshark; - is stdout."
    ),
)


def output_options(command: F) -> F:
    """Give a command the options that `open_outputs` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_outputs(
    *, as_hex: bool, as_json: bool, out: Path | None, keylog: Path | None, owner: tuple[int, int] | None = None
) -> OutputSet:
    """What the options ask for. Raises InputError where they contradict each other or a file can't be written."""
    if as_hex and as_json:
        raise InputError("--hex and --json can't go together: JSON holds the bytes in base64")
    form: FormatName = "json" if as_json else "hex" if as_hex else "text"
    opened: list[Output] = []
    if keylog:
        opened.append(open_keylog(keylog, owner=owner))
    # Lines of a key log on stdout must not have other text between them.
    if str(keylog) != "-" or out is not None:
        opened.append(open_output(form, out, owner=owner))
    elif as_json or as_hex:
        raise InputError("--keylog - takes stdout: name a file for the events by --out")
    return OutputSet(opened, report=say)
