"""`plainwire capture`: what programs say over TLS, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from plainwire.capture.api import Capture
from plainwire.capture.command import sudo_caller
from plainwire.capture.options import DEFAULT_BUFFER_SIZE, CaptureOptions, KeysBy
from plainwire.cli.live import LiveRun
from plainwire.cli.memory import keep_freed_memory
from plainwire.cli.messages import say
from plainwire.cli.options import BufferSize
from plainwire.cli.outputs import open_outputs, output_options
from plainwire.errors import InputError

PATH = click.Path(path_type=Path)


@click.command(context_settings={"ignore_unknown_options": False})
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, metavar="N", help="Only this process.")
@click.option("--follow", is_flag=True, help="With --pid: also the processes that it starts from now on.")
@click.option("--uid", type=click.IntRange(0), metavar="N", help="Only processes of this user.")
@click.option("--comm", "comms", multiple=True, metavar="NAME", help="Only processes of this name.")
@click.option(
    "--lib", "--elf", "libraries", type=PATH, multiple=True, metavar="PATH", help="Only this TLS library or Go program."
)
@click.option("--module", "modules", multiple=True, metavar="NAME", help="Only this module (see `plainwire maps`).")
@output_options
@click.option("--record", type=PATH, metavar="FILE", help="Also keep the raw events, for `plainwire read`.")
@click.option(
    "--keys-by",
    type=click.Choice(["auto", "log", "structure"]),
    default="auto",
    help="How secrets are got: the library's own key log function, its connections' structures, or what is better.",
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
    record: Path | None,
    keylog: Path | None,
    keys_by: KeysBy,
    no_data: bool,
    command: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Show what programs send and receive over TLS.

    With -- COMMAND it starts the command, shows it and what it starts, and passes its exit status on.
    """
    keep_freed_memory()
    caller = sudo_caller()
    owner = (caller.uid, caller.gid) if caller else None
    if no_data and keylog is None and record is None:
        raise InputError("--no-data leaves nothing to capture: add --keylog FILE")
    chosen |= {"data": not no_data, "keys_by": keys_by if keylog else None}
    shown = {name: chosen.pop(name) for name in ("as_hex", "as_json", "out")}
    outputs = open_outputs(**shown, keylog=keylog, owner=owner)
    options = CaptureOptions(command=command, **chosen)
    with Capture(options, record=record, owner=owner, warn=say) as capture:
        status = LiveRun(capture, outputs).until_end()
    sys.exit(status)
