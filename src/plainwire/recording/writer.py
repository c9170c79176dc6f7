"""Writes records to a file, so that `plainwire read` can give later what the capture gave."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from plainwire.decode.records import AnyRecord, Samples
from plainwire.errors import InputError
from plainwire.recording.format import FIRST_LINE, LENGTH, MAX_RECORD

# Samples of one record, in bytes; more are split. Far below MAX_RECORD, since msgpack adds to it.
_MAX_SAMPLES = 16 * 1024 * 1024


class Writer:
    """A recording being written. Each record is in the file, not in a buffer, when `write` returns.

    What a recording holds is secret: the file's mode is 0600, also where it existed before. `owner` (uid, gid) is who
    it shall belong to, for a capture under sudo. Raises InputError, naming the file, where it can't be written.
    """

    def __init__(self, path: Path, owner: tuple[int, int] | None = None) -> None:
        self._name = str(path)
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()
        try:
            self._file: BinaryIO = open(path, "wb", opener=_open_private, buffering=0)  # noqa: SIM115
            if owner is not None and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                os.fchown(self._file.fileno(), *owner)
            self._put(FIRST_LINE)
        except OSError as error:
            raise InputError(f"{path}: the recording can't be written: {error.strerror}") from error

    def write(self, record: AnyRecord) -> None:
        """Append a record. InputError where the disk is full, say: what was written before can still be read."""
        try:
            for part in _parts(record):
                self._encoder.encode_into(part, self._buffer, LENGTH.size)
                LENGTH.pack_into(self._buffer, 0, len(self._buffer) - LENGTH.size)
                self._put(self._buffer)
        except OSError as error:
            raise InputError(f"{self._name}: writing the recording failed: {error.strerror}") from error

    def _put(self, content: bytes | bytearray) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor


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
