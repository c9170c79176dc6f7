"""`plainwire capture`: what programs say over TLS, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from plainwire.capture.api import Capture
from plainwire.capture.command import sudo_caller
from plainwire.capture.options import DEFAULT_BUFFER_SIZE, CaptureOptions
from plainwire.cli.live import LiveRun, say
from plainwire.cli.memory import keep_freed_memory
from plainwire.cli.options import BufferSize
from plainwire.errors import InputError
from plainwire.outputs import FormatName, OutputSet, open_output
from plainwire.outputs.keylog import open_keylog
from plainwire.outputs.output import Output

PATH = click.Path(path_type=Path)


@click.command(context_settings={"ignore_unknown_options": False})
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, metavar="N", help="Only this process.")
@click.option("--follow", is_flag=True, help="With --pid: also the processes that it starts from now on.")
@click.option("--uid", type=click.IntRange(0), metavar="N", help="Only processes of this user.")
@click.option("--comm", "comms", multiple=True, metavar="NAME", help="Only processes of this name.")
@click.option("--lib", "libraries", type=PATH, multiple=True, metavar="PATH", help="Only this TLS library file.")
@click.option("--module", "modules", multiple=True, metavar="NAME", help="Only this module (see `plainwire maps`).")
@click.option("--hex", "as_hex", is_flag=True, help="Show payloads as hex dumps.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line (docs/json.md).")
@click.option("--out", type=PATH, metavar="FILE", help="Write there instead of to the terminal.")
@click.option("--record", type=PATH, metavar="FILE", help="Also keep the raw events, for `plainwire read`.")
@click.option(
    "--keylog", type=PATH, metavar="FILE", help="Append the connections' secrets, for Wireshark; - is stdout."
)
@click.option("--no-data", is_flag=True, help="Capture no plaintext: with --keylog, secrets alone.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="S", help="End after so many seconds.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after so many data events.")
@click.option("--transport", type=click.Choice(["auto", "ring", "perf"]), default="auto", help="Kind of event buffer.")
@click.option(
    "--buffer-size", type=BufferSize(), default=DEFAULT_BUFFER_SIZE, metavar="SIZE", help="Of the event buffer; 64M."
)
@click.option("--userspace-filter", is_flag=True, help="Filter here instead of in the kernel.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    as_hex: bool,
    as_json: bool,
    out: Path | None,
    record: Path | None,
    keylog: Path | None,
    no_data: bool,
    command: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Show what programs send and receive over TLS.

    With -- COMMAND it starts the command, shows it and what it starts, and passes its exit status on.
    """
    if as_hex and as_json:
        raise InputError("--hex and --json can't go together: JSON holds the bytes in base64")
    keep_freed_memory()
    form: FormatName = "json" if as_json else "hex" if as_hex else "text"
    caller = sudo_caller()
    owner = (caller.uid, caller.gid) if caller else None
    if no_data and keylog is None and record is None:
        raise InputError("--no-data leaves nothing to capture: add --keylog FILE")
    chosen |= {"data": not no_data, "keys_by": "log" if keylog else None}
    opened: list[Output] = []
    if keylog:
        opened.append(open_keylog(keylog, owner=owner))
    # Lines of a key log on stdout must not have other text between them.
    if str(keylog) != "-" or out is not None:
        opened.append(open_output(form, out, owner=owner))
    elif as_json or as_hex:
        raise InputError("--keylog - takes stdout: name a file for the events by --out")
    outputs = OutputSet(opened, report=say)
    options = CaptureOptions(command=command, **chosen)
    with Capture(options, record=record, owner=owner, warn=say) as capture:
        status = LiveRun(capture, outputs).until_end()
    sys.exit(status)
