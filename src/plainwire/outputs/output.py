"""Outputs: what receives the events of a capture. One that fails is disabled with a message; the capture goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from plainwire.errors import InputError
from plainwire.events import AnyEvent
from plainwire.outputs.destination import STDOUT, open_private, write_all
from plainwire.outputs.hexdump import hexdump
from plainwire.outputs.json import JsonFormat
from plainwire.outputs.payload import show_payload
from plainwire.outputs.style import style_for
from plainwire.outputs.text import TextFormat

FormatName = Literal["text", "hex", "json"]
_BATCH = 256  # events a write; 4 MiB of payload at most


class Output(Protocol):
    """Receives events in batches, in order."""

    name: str  # for messages: "stdout" or a path

    def write(self, events: Sequence[AnyEvent]) -> None:
        """Raises OSError if it can't; BrokenPipeError if the reader has gone."""

    def close(self) -> None:
        """Raises OSError if what was written may not have arrived."""


class Format(Protocol):
    """Events in, bytes out."""

    def encode(self, events: Sequence[AnyEvent]) -> bytes: ...


class StreamOutput:
    """Writes events in a format to a descriptor; each batch is out when write() returns."""

    def __init__(self, name: str, descriptor: int, encoder: Format) -> None:
        self.name = name
        self._descriptor = descriptor
        self._encoder = encoder

    def write(self, events: Sequence[AnyEvent]) -> None:
        for start in range(0, len(events), _BATCH):
            write_all(self._descriptor, self._encoder.encode(events[start : start + _BATCH]))

    def close(self) -> None:
        if self._descriptor != STDOUT:
            os.close(self._descriptor)


def open_output(form: FormatName, path: Path | None = None, *, owner: tuple[int, int] | None = None) -> StreamOutput:
    """An output to the file `path`, or to stdout for None and for "-". Raises InputError if that can't be written.

    owner: uid and gid that a new file is given to (under sudo).
    """
    if path is None or str(path) == "-":
        if sys.stdout is None:  # closed at our start (`>&-`): what was opened since may have its number
            raise InputError("can't write to stdout: it is closed; leave it open or name a file with --out")
        return StreamOutput("stdout", STDOUT, _format(form, STDOUT))
    descriptor = open_private(path, owner)
    return StreamOutput(str(path), descriptor, _format(form, descriptor))


def _format(form: FormatName, descriptor: int) -> Format:
    if form == "json":
        return JsonFormat()
    style = style_for(descriptor)
    if form == "hex":
        return TextFormat(lambda event: hexdump(event.data, event.offset), style)
    return TextFormat(lambda event: show_payload(event.data, style), style)


class OutputSet:
    """Feeds several outputs. One that fails is dropped, and `report` gets a line that says so.

    A reader of stdout that has gone (`| head`) is no failure: BrokenPipeError is raised, for the command to end.
    """

    def __init__(self, outputs: Sequence[Output], report: Callable[[str], None]) -> None:
        self._outputs = list(outputs)
        self._report = report

    @property
    def active(self) -> bool:
        """Whether any output is left."""
        return bool(self._outputs)

    def write(self, events: Sequence[AnyEvent]) -> None:
        """Give `events` to each output. Raises BrokenPipeError if stdout's reader has gone."""
        self._each(lambda output: output.write(events))

    def close(self) -> None:
        """Close each output."""
        self._each(lambda output: output.close())
        self._outputs.clear()

    def _each(self, act: Callable[[Output], None]) -> None:
        gone: BrokenPipeError | None = None
        for output in list(self._outputs):
            try:
                act(output)
            except OSError as error:
                self._outputs.remove(output)
                if isinstance(error, BrokenPipeError) and output.name == "stdout":
                    gone = error
                else:
                    self._report(
                        f"{output.name} is no longer written: {error.strerror}; the capture goes on without it"
                    )
        if gone is not None:
            raise gone
