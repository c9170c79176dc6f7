"""Writes records to a file, so that `plainwire read` can give later what the capture gave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from plainwire.decode.records import AnyRecord, Samples
from plainwire.errors import InputError
from plainwire.outputs.clean import without_surrogates
from plainwire.outputs.destination import open_private, write_all
from plainwire.recording.format import FIRST_LINE, LENGTH, MAX_RECORD

# Samples of one record, in bytes; more are split. Far below MAX_RECORD, since msgpack adds to it.
_MAX_SAMPLES = 16 * 1024 * 1024


class Writer:
    """A recording being written. Each record is in the file, not in a buffer, when `write` returns.

    What a recording holds is secret: a new file is readable by its owner alone, who is `owner` (uid, gid) if given, for
    a capture under sudo. Raises InputError, naming the file, where it can't be written.
    """

    def __init__(self, path: Path, owner: tuple[int, int] | None = None) -> None:
        self._name = str(path)
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()
        self._descriptor = open_private(path, owner)
        self._put(FIRST_LINE)

    def write(self, record: AnyRecord) -> None:
        """Append a record. InputError where the disk is full, say: what was written before can still be read."""
        for part in _parts(record):
            try:
                self._encoder.encode_into(part, self._buffer, LENGTH.size)
            except UnicodeEncodeError:  # a process or file with a name that is no UTF-8
                self._encoder.encode_into(_encodable(part), self._buffer, LENGTH.size)
            LENGTH.pack_into(self._buffer, 0, len(self._buffer) - LENGTH.size)
            self._put(self._buffer)

    def _put(self, content: bytes | bytearray) -> None:
        try:
            write_all(self._descriptor, content)
        except OSError as error:
            raise InputError(f"{self._name}: writing the recording failed: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _encodable(value: Any) -> Any:
    """The same with names that UTF-8 can carry, as the outputs show them."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, tuple):
        return tuple(map(_encodable, value))
    if isinstance(value, msgspec.Struct):
        fields = {name: _encodable(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    return value


def _parts(record: AnyRecord) -> Iterator[AnyRecord]:
    """The record, or several of the same meaning where its samples are too many for one."""
    if not isinstance(record, Samples) or sum(map(len, record.samples)) <= _MAX_SAMPLES:
        yield record
        return
    part: list[bytes] = []
    size = 0
    for sample in record.samples:
        if part and size + len(sample) > _MAX_SAMPLES:
            yield Samples(part)
            part, size = [], 0
        part.append(sample)
        size += len(sample)
    yield Samples(part)


assert 2 * _MAX_SAMPLES < MAX_RECORD
