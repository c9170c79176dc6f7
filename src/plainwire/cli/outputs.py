"""The options for outputs, which a live capture and a recording share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from plainwire.cli.messages import say
from plainwire.cli.packet_options import PACKET_OPTIONS, open_pcapng
from plainwire.errors import InputError
from plainwire.outputs import FormatName, OutputSet, open_output
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
    *PACKET_OPTIONS,
)
OUTPUT_OPTIONS = (
    "as_hex",
    "as_json",
    "out",
    "keylog",
    "pcapng",
    "pcapng_plain",
    "rotate_size",
    "rotate_seconds",
    "file_count",
)
"""The parameters of `open_outputs` that the options give."""


def output_options(command: F) -> F:
    """Give a command the options that `open_outputs` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_outputs(
    *,
    as_hex: bool,
    as_json: bool,
    out: Path | None,
    keylog: Path | None,
    pcapng: Path | None,
    pcapng_plain: Path | None,
    rotate_size: int | None,
    rotate_seconds: float | None,
    file_count: int | None,
    owner: tuple[int, int] | None = None,
    snaplen: int = 0,
    packet_filter: str = "",
) -> OutputSet:
    """What the options ask for; snaplen and packet_filter are told in the files of packets.

    Raises InputError where they contradict each other or a file can't be written.
    """
    if as_hex and as_json:
        raise InputError("--hex and --json can't go together: JSON holds the bytes in base64")
    form: FormatName = "json" if as_json else "hex" if as_hex else "text"
    # A file on stdout must not have other text between its parts.
    on_stdout = [path for path in (keylog, pcapng, pcapng_plain) if str(path) == "-"]
    if len(on_stdout) > 1:
        raise InputError("only one of --keylog, --pcapng and --pcapng-plain can have stdout")
    if on_stdout and out is None and (as_json or as_hex):
        raise InputError("stdout is taken by a file: name another one for the events by --out")
    opened = open_pcapng(
        pcapng,
        pcapng_plain,
        rotate_size=rotate_size,
        rotate_seconds=rotate_seconds,
        file_count=file_count,
        owner=owner,
        snaplen=snaplen,
        packet_filter=packet_filter,
    )
    if keylog:
        opened.append(open_keylog(keylog, owner=owner))
    if not on_stdout or out is not None:
        opened.append(open_output(form, out, owner=owner))
    return OutputSet(opened, report=say)
