"""Looks functions up in the symbol tables of an ELF file, without walking the symbols one by one.

Facts are from <elf.h>, the System V ABI's chapters "Symbol Table" and "Hash Table", and for DT_GNU_HASH from glibc's
elf/dl-lookup.c and binutils' bfd/elflink.c.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from plainwire.errors import InputError

STT_FUNC = 2
STT_OBJECT = 1
SHN_UNDEF = 0
# Tables are searched in pieces of this size, so that a file of any size costs little memory.
_CHUNK = 1 << 20
# Longer names stand for nothing that anyone looks up (C++ and Rust write names of some kilobytes).
_MAX_NAME = 1 << 16
# Limits that no real file reaches, so that one made to waste time costs none. Tables: Chromium with all its symbols has
# some 500 MB. Names that begin like those looked for: node has 1,336. Symbols in one hash bucket: tens.
_MAX_TABLE = 1 << 30
_MAX_OCCURRENCES = 1 << 18
_MAX_CHAIN = 1 << 14


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or variable defined in a file. `address` is as linked; `size` is in bytes, 0 if that is not said."""

    name: str
    address: int
    size: int


class _File(Protocol):
    bits: int
    byte_order: str
    size: int
    name: str

    def read_file(self, offset: int, size: int) -> bytes: ...


class SymbolTable:
    """A symbol table and its string table, at file offsets. Raises InputError when they lie outside the file."""

    def __init__(self, file: _File, symbols_at: int, symbols_size: int, names_at: int, names_size: int) -> None:
        self._file = file
        self._entry = struct.Struct(file.byte_order + ("IBBHQQ" if file.bits == 64 else "IIIBBH"))
        self._symbols_at = symbols_at
        self._symbols_size = symbols_size
        self._names_at = names_at
        self._names_size = names_size
        if max(symbols_size, names_size) > _MAX_TABLE:
            raise _damaged(file, f"a symbol table of over {_MAX_TABLE} bytes")

    @cached_property
    def _count(self) -> int:
        return self._symbols_size // self._entry.size

    def _symbol(self, name: str, fields: tuple[int, ...], kind: int = STT_FUNC) -> Symbol | None:
        """The symbol if it is a function (or what else `kind` says) defined in this file."""
        if self._file.bits == 64:
            _, info, _, section, address, size = fields
        else:
            _, address, size, info, _, section = fields
        return Symbol(name, address, size) if info & 15 == kind and section != SHN_UNDEF else None

    def find(self, names: Collection[str], kind: int = STT_FUNC) -> dict[str, Symbol]:
        """Those of `names` that are functions (or what else `kind` says) defined here.

        The names are looked for in the string table first, by a search in C, instead of looking at each symbol.
        """
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(name[:4], []).append(name)
        name_of: dict[int, str] = {}
        for group in groups.values():
            name_of.update(self._name_indices(group))
        return self._symbols_named(name_of, kind) if name_of else {}

    def _name_indices(self, names: list[str]) -> Iterator[tuple[int, str]]:
        """Where in the string table these names stand, which begin alike: one search for all of them."""
        wanted = {name.encode(): name for name in names}
        prefix = os.path.commonprefix(names).encode()  # noqa: RUF071 - these are no paths
        longest = max(map(len, wanted)) + 1
        start = occurrences = 0
        while start < self._names_size:
            size = min(_CHUNK + longest, self._names_size - start)
            chunk = self._file.read_file(self._names_at + start, size)
            at = chunk.find(prefix)
            # A linker may store "read" as the end of "SSL_read": what stands before the name does not matter.
            while 0 <= at < _CHUNK:
                name = wanted.get(chunk[at : at + longest].split(b"\0", 1)[0])
                if name:
                    yield start + at, name
                occurrences += 1
                if occurrences > _MAX_OCCURRENCES:
                    raise _damaged(self._file, f"its symbols repeat {names[0]}")
                at = chunk.find(prefix, at + 1)
            start += _CHUNK

    def _symbols_named(self, name_of: dict[int, str], kind: int) -> dict[str, Symbol]:
        found: dict[str, Symbol] = {}
        step = self._entry.size
        words = step // 4
        indices = {struct.pack(self._file.byte_order + "I", index): name for index, name in name_of.items()}
        pattern = re.compile(b"|".join(map(re.escape, indices)))
        per_chunk = _CHUNK // step
        for first in range(0, self._count, per_chunk):
            count = min(per_chunk, self._count - first)
            chunk = self._file.read_file(self._symbols_at + first * step, count * step)
            # st_name is the first of an entry's 4-byte words: a strided copy of them alone, then a search in C.
            starts = memoryview(chunk).cast("I")[::words].tobytes()
            match = pattern.search(starts)
            while match:
                at, misplaced = divmod(match.start(), 4)
                if not misplaced:
                    name = indices[match[0]]
                    symbol = self._symbol(name, self._entry.unpack_from(chunk, at * step), kind)
                    if symbol:
                        found.setdefault(name, symbol)
                match = pattern.search(starts, match.start() + 1)
        return found

    def __iter__(self) -> Iterator[Symbol]:
        names = self._file.read_file(self._names_at, self._names_size)
        per_chunk = _CHUNK // self._entry.size
        for first in range(0, self._count, per_chunk):
            size = min(per_chunk, self._count - first) * self._entry.size
            chunk = self._file.read_file(self._symbols_at + first * self._entry.size, size)
            for fields in self._entry.iter_unpack(chunk):
                index = fields[0]
                if index and index < len(names):
                    end = names.find(b"\0", index, index + _MAX_NAME)
                    symbol = self._symbol("", fields)
                    if symbol and end > index:
                        name = names[index:end].decode("utf-8", "backslashreplace")
                        yield Symbol(name, symbol.address, symbol.size)


class DynamicTable(SymbolTable):
    """The symbols that the dynamic loader sees. It has no length of its own: the hash tables tell."""

    def __init__(
        self,
        file: _File,
        *,
        symbols_at: int,
        names_at: int,
        names_size: int,
        gnu_hash_at: int | None,
        hash_at: int | None,
    ) -> None:
        super().__init__(file, symbols_at, 0, names_at, names_size)
        self._gnu_hash = _GnuHash(file, gnu_hash_at) if gnu_hash_at is not None else None
        self._hash_at = hash_at

    @cached_property
    def _count(self) -> int:
        if self._hash_at is not None:
            count: int = struct.unpack(self._file.byte_order + "4xI", self._file.read_file(self._hash_at, 8))[0]
        elif self._gnu_hash:
            count = self._gnu_hash.symbol_count()
        else:  # nothing tells: the string table follows the symbols in the files that all linkers write
            count = max(self._names_at - self._symbols_at, 0) // self._entry.size
        if count * self._entry.size > _MAX_TABLE:
            raise _damaged(self._file, f"{count} dynamic symbols")
        return count

    def find(self, names: Collection[str], kind: int = STT_FUNC) -> dict[str, Symbol]:
        if self._gnu_hash is None:
            return super().find(names, kind)
        found: dict[str, Symbol] = {}
        for name in names:
            encoded = name.encode() + b"\0"
            for index in self._gnu_hash.candidates(encoded[:-1]):
                at = self._symbols_at + index * self._entry.size
                fields = self._entry.unpack(self._file.read_file(at, self._entry.size))
                symbol = self._symbol(name, fields, kind)
                if symbol and self._name_is(fields[0], encoded):
                    found[name] = symbol
                    break
        return found

    def _name_is(self, index: int, encoded: bytes) -> bool:
        if index + len(encoded) > self._names_size:
            return False
        return self._file.read_file(self._names_at + index, len(encoded)) == encoded


class _GnuHash:
    """DT_GNU_HASH: a Bloom filter of words as wide as the machine's, buckets, and one hash value for each symbol."""

    def __init__(self, file: _File, at: int) -> None:
        self._file = file
        header = file.read_file(at, 16)
        words: tuple[int, ...] = struct.unpack(file.byte_order + "IIII", header)
        self._buckets, self._first, self._bloom_words, self._shift = words
        if not self._buckets or not self._bloom_words:
            raise _damaged(file, "its symbol hash table is empty")
        self._word = struct.Struct(file.byte_order + ("Q" if file.bits == 64 else "I"))
        self._u32 = struct.Struct(file.byte_order + "I")
        self._bloom_at = at + 16
        self._buckets_at = self._bloom_at + self._bloom_words * self._word.size
        self._chains_at = self._buckets_at + self._buckets * 4

    def _read_u32(self, at: int) -> int:
        return int(self._u32.unpack(self._file.read_file(at, 4))[0])

    def candidates(self, name: bytes) -> Iterator[int]:
        """Indices of the symbols whose hash is that of `name`."""
        value = gnu_hash(name)
        bits = self._file.bits
        word_at = self._bloom_at + value // bits % self._bloom_words * self._word.size
        word = self._word.unpack(self._file.read_file(word_at, self._word.size))[0]
        if not (word >> value % bits) & (word >> (value >> self._shift) % bits) & 1:
            return
        index = self._read_u32(self._buckets_at + value % self._buckets * 4)
        if index < self._first:
            return
        for _ in range(_MAX_CHAIN):
            chain = self._read_u32(self._chains_at + (index - self._first) * 4)
            if chain | 1 == value | 1:
                yield index
            if chain & 1:
                return
            index += 1
        raise _damaged(self._file, "its symbol hash table has a chain without end")

    def symbol_count(self) -> int:
        """One more than the highest index of the table."""
        if self._buckets * 4 > _MAX_TABLE:
            raise _damaged(self._file, f"a hash table of {self._buckets} buckets")
        buckets = array("I", self._file.read_file(self._buckets_at, self._buckets * 4))
        if (sys.byteorder == "little") != (self._file.byte_order == "<"):
            buckets.byteswap()
        index = max(buckets)
        if index < self._first:
            return self._first
        for _ in range(_MAX_CHAIN):
            index += 1
            if self._read_u32(self._chains_at + (index - 1 - self._first) * 4) & 1:
                return index
        raise _damaged(self._file, "its symbol hash table has a chain without end")


def _damaged(file: _File, problem: str) -> InputError:
    return InputError(f"{file.name}: not a valid ELF file: {problem}")


@lru_cache(maxsize=4096)
def gnu_hash(name: bytes) -> int:
    """Bernstein's hash, as dl_new_hash of glibc computes it."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
