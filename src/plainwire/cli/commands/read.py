"""`plainwire read`: what a recording gives, offline: the same as the live capture gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from plainwire.cli.memory import keep_freed_memory
from plainwire.decode.decoder import Decoder
from plainwire.errors import InputError, RecordingError
from plainwire.events import AnyEvent, StatsEvent
from plainwire.outputs import FormatName, OutputSet, open_output, summary
from plainwire.recording.reader import Reader


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--hex", "as_hex", is_flag=True, help="Show payloads as hex dumps.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line (docs/json.md).")
@click.option("--out", type=click.Path(path_type=Path), metavar="OUTPUT", help="Write there instead of to stdout.")
def command(file: str, as_hex: bool, as_json: bool, out: Path | None) -> None:
    """Show what was recorded by `plainwire capture --record FILE`; - reads it from stdin.

    Needs no privileges, and any machine will do. A recording that was cut is shown up to the cut.
    """
    if as_hex and as_json:
        raise InputError("--hex and --json can't go together: JSON holds the bytes in base64")
    form: FormatName = "json" if as_json else "hex" if as_hex else "text"
    keep_freed_memory()
    with _opened(file) as stream:
        reader = Reader(stream, "stdin" if file == "-" else file)
        outputs = OutputSet([open_output(form, out)], report=_say)
        try:
            written = _show(reader, outputs)
        except BrokenPipeError:
            # The reader of our output has seen enough; what would be flushed at exit has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return
    if not written:
        sys.exit(InputError.exit_status)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"can't read {file}: {error.strerror}") from None
    with stream:
        yield stream


def _show(reader: Reader, outputs: OutputSet) -> bool:
    """All events to the outputs, the summary to stderr; False where the outputs failed.

    RecordingError where the recording is damaged, after all that stands before the damage.
    """
    decoder = Decoder()
    damage: RecordingError | None = None

    def give(events: list[AnyEvent]) -> None:
        if events:
            outputs.write(events)
            if isinstance(events[-1], StatsEvent):
                _say(summary(events[-1]))

    try:
        for record in reader:
            give(decoder.feed(record))
            if not outputs.active:
                return False
    except RecordingError as error:
        damage = error
    give(decoder.cut())
    written = outputs.active
    outputs.close()
    if damage is not None:
        raise damage
    return written


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
