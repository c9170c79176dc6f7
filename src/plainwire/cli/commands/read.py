"""`plainwire read`: what a recording gives, offline: the same as the live capture gave."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from plainwire.cli.memory import keep_freed_memory
from plainwire.cli.messages import say
from plainwire.cli.outputs import open_outputs, output_options
from plainwire.decode.decoder import Decoder
from plainwire.errors import InputError, RecordingError
from plainwire.events import AnyEvent, StatsEvent
from plainwire.outputs import OutputSet, style_for, summary
from plainwire.recording.reader import Reader

_STDERR = 2


@click.command()
@click.argument("file", metavar="FILE")
@output_options
def command(file: str, **outputs_wanted: Any) -> None:
    """Show what was recorded by `plainwire capture --record FILE`; - reads it from stdin.

    Needs no privileges, and any machine will do. A recording that was cut is shown up to the cut.
    """
    keep_freed_memory()
    with _opened(file) as stream:
        reader = Reader(stream, "stdin" if file == "-" else file)
        outputs = open_outputs(**outputs_wanted)
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

    def give(events: Sequence[AnyEvent]) -> None:
        if events:
            outputs.write(events)
            last = events[-1]
            if isinstance(last, StatsEvent):
                say(summary(last, style_for(_STDERR)), prefix=False)

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
