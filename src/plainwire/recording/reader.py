"""Reads the records of a file that was written by `--record`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from plainwire.decode.records import FORMAT, AnyRecord, End, Header
from plainwire.errors import RecordingError
from plainwire.recording.format import FIRST_LINE, LENGTH, MAGIC, MAX_FIRST_LINE, MAX_RECORD

# What is read at once: a hostile length must not make us set aside memory for bytes that are not there.
_CHUNK = 1024 * 1024


class Reader:
    """The records of a recording, in order; `file` need not be seekable.

    `cut_at` is set after the last record where the recording has no End: the number of bytes that could be used. The
    constructor raises RecordingError where the file is no recording, or of another format; iterating raises it where
    the bytes are damaged, after all records before them.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.cut_at: int | None = None
        self._file = file
        self._name = name
        self._decoder = msgspec.msgpack.Decoder(AnyRecord)
        self._position = self._check_first_line()

    def _check_first_line(self) -> int:
        line = self._file.readline(MAX_FIRST_LINE)
        if line == FIRST_LINE:
            return len(line)
        if not line:
            raise RecordingError(f"{self._name}: empty, not a recording")
        if FIRST_LINE.startswith(line):
            raise RecordingError(f"{self._name}: the recording was cut before its first record")
        if not line.startswith(MAGIC) or not line.endswith(b"\n"):
            raise RecordingError(f"{self._name}: not a recording: `plainwire capture --record FILE` writes one")
        version = line[len(MAGIC) :].strip().decode("ascii", "backslashreplace")
        raise RecordingError(
            f"{self._name}: a recording of format {version}, but this plainwire reads format {FORMAT}:"
            " read it with the version that wrote it"
        )

    def __iter__(self) -> Iterator[AnyRecord]:
        first, ended = True, False
        while not ended:
            head = self._file.read(LENGTH.size)
            if len(head) < LENGTH.size:
                break
            (length,) = LENGTH.unpack(head)
            if length > MAX_RECORD:
                raise self._damaged(f"a record of {length} bytes")
            body = self._read(length)
            if len(body) < length:
                break
            try:
                record = self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise self._damaged("what stands there is no record") from error
            if first != isinstance(record, Header):
                raise self._damaged("its header is missing or stands twice")
            first, ended = False, isinstance(record, End)
            self._position += LENGTH.size + length
            yield record
        if not ended:
            self.cut_at = self._position

    def _read(self, length: int) -> bytes:
        if length <= _CHUNK:
            return self._file.read(length)
        body = bytearray()
        while len(body) < length:
            chunk = self._file.read(min(_CHUNK, length - len(body)))
            if not chunk:
                break
            body += chunk
        return bytes(body)

    def _damaged(self, why: str) -> RecordingError:
        return RecordingError(f"{self._name}: the recording is damaged at byte {self._position}: {why}")
