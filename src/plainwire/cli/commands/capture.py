"""`plainwire capture`: what programs say over TLS, live."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from plainwire.capture.api import Capture
from plainwire.capture.command import sudo_caller
from plainwire.capture.options import DEFAULT_BUFFER_SIZE, CaptureOptions
from plainwire.capture.session import Session
from plainwire.cli.options import BufferSize
from plainwire.errors import InputError
from plainwire.events import StatsEvent
from plainwire.outputs import FormatName, OutputSet, open_output, style_for, summary

STDERR = 2
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
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="S", help="End after so many seconds.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after so many data events.")
@click.option("--transport", type=click.Choice(["auto", "ring", "perf"]), default="auto", help="Kind of event buffer.")
@click.option(
    "--buffer-size", type=BufferSize(), default=DEFAULT_BUFFER_SIZE, metavar="SIZE", help="Of the event buffer; 64M."
)
@click.option("--userspace-filter", is_flag=True, help="Filter here instead of in the kernel.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    as_hex: bool, as_json: bool, out: Path | None, record: Path | None, command: tuple[str, ...], **chosen: Any
) -> None:
    """Show what programs send and receive over TLS.

    With -- COMMAND it starts the command, shows it and what it starts, and passes its exit status on.
    """
    if as_hex and as_json:
        raise InputError("--hex and --json can't go together: JSON holds the bytes in base64")
    form: FormatName = "json" if as_json else "hex" if as_hex else "text"
    caller = sudo_caller()
    owner = (caller.uid, caller.gid) if caller else None
    outputs = OutputSet([open_output(form, out, owner=owner)], report=_say)
    options = CaptureOptions(command=command, **chosen)
    with Capture(options, record=record, owner=owner, warn=_say) as capture:
        _stop_on_signals(capture.session)
        _announce(capture.session)
        _write_events(capture, outputs)
        status = capture.session.command.wait() if capture.session.command else 0
    sys.exit(status)


def _stop_on_signals(session: Session) -> None:
    def stop(number: int, _frame: object) -> None:
        if session.command and number == signal.SIGTERM:  # Ctrl-C reaches it without us
            with contextlib.suppress(ProcessLookupError):
                os.kill(session.command.pid, number)
        session.stop()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _announce(session: Session) -> None:
    files = session.library_count
    where = f"{files} TLS librar{'y' if files == 1 else 'ies'}"
    if files == 0:
        where = "no TLS library yet; waiting for a process that loads one"
    _say(f"capturing ({where}); Ctrl-C ends it", prefix=False)


def _write_events(capture: Capture, outputs: OutputSet) -> None:
    """Until the capture ends; then the summary."""
    try:
        for events in capture.batches():
            outputs.write(events)
            if not outputs.active:
                capture.stop()
            if isinstance(events[-1], StatsEvent):
                _say(summary(events[-1], style_for(STDERR)), prefix=False)
        outputs.close()
    except BrokenPipeError:
        # The reader of our output has seen enough; what would be flushed at exit has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(message: str, *, prefix: bool = True) -> None:
    print(f"plainwire: {message}" if prefix else message, file=sys.stderr, flush=True)
