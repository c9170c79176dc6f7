"""Go's function table (pclntab): names and addresses of a program's functions, also in a stripped one.

The runtime needs the table for tracebacks and to move stacks, so no linker option removes it. Formats: Go's
debug/gosym and runtime/symtab.go; it changed in Go 1.2, 1.16, 1.18 and 1.20, and in 1.26 lost the address that
its offsets are counted from.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.elf_relocations import Pointers

# The first word of the table -> the first Go version that writes it.
_MAGICS = {0xFFFFFFFB: (1, 2), 0xFFFFFFFA: (1, 16), 0xFFFFFFF0: (1, 18), 0xFFFFFFF1: (1, 20)}
_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_NEIGHBOURHOOD = 1 << 18  # bytes
_MIN_SIZE = 8 + 8 * 8  # the longest header
_POINTER_SIZE = 8
# runtime.moduledata, from Go 1.16 on, begins with pcHeader, five slices and ftab; then findfunctab, minpc, maxpc, text.
_MODULE_MINPC, _MODULE_TEXT = 20 * 8, 22 * 8


@dataclass(frozen=True, slots=True)
class GoFunction:
    """A function's code: `size` counts padding up to the next function. `address` is as linked."""

    name: str
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class _Header:
    function_count: int
    text_start: int  # 0 from Go 1.26 on; absent before 1.18, whose entries are whole addresses
    names_at: int  # offsets from the table's start
    names_end: int
    functions_at: int  # the index of functions, to whose start its offsets refer


class Pclntab:
    """The function table of a 64-bit little-endian Go program.

    `format` is the first Go version that writes this format: (1, 2), (1, 16), (1, 18) or (1, 20).
    """

    def __init__(self, elf: ElfFile, address: int, data: bytes) -> None:
        self._elf, self._address, self._data = elf, address, data
        if len(data) < _MIN_SIZE:
            raise InputError(f"{elf.name}: its Go function table is cut short")
        (magic,) = struct.unpack_from("<I", data)
        if magic not in _MAGICS or data[4:6] != b"\0\0" or data[7] != _POINTER_SIZE:
            raise InputError(f"{elf.name}: its Go function table has an unknown format")
        self.format = _MAGICS[magic]
        self._compact = self.format >= (1, 18)  # 32-bit offsets instead of addresses
        self._header = self._read_header()
        index_size = (self._header.function_count * 2 + 1) * (4 if self._compact else 8)
        if self._header.names_at > len(data) or self._header.functions_at + index_size > len(data):
            raise InputError(f"{elf.name}: its Go function table is damaged")
        self._pointers = Pointers(elf)
        self._text: int | None = None
        self._last_name = self._last_description = 0

    @classmethod
    def find(cls, elf: ElfFile) -> Pclntab | None:
        """The function table of a file; None when it holds none. Raises InputError when it is damaged or disguised."""
        for name in _SECTIONS:
            section = elf.section(name)
            data = elf.section_bytes(name)
            if section is not None and data is not None and len(data) >= 16:
                return cls(elf, section.address, data)
        return cls._search(elf)

    @classmethod
    def _search(cls, elf: ElfFile) -> Pclntab | None:
        """Where section headers are gone: the table begins with magic, two zeros, sizes of code unit and pointer."""
        for segment in elf.loaded_segments:
            if segment.executable:
                continue
            data = elf.read_file(segment.offset, segment.file_size)
            for magic in _MAGICS:
                for code_unit in (1, 4):
                    wanted = struct.pack("<IHBB", magic, 0, code_unit, _POINTER_SIZE)
                    at = data.find(wanted)
                    while at >= 0:
                        table = cls._plausible(elf, segment.address + at, data[at:])
                        if table is not None:
                            return table
                        at = data.find(wanted, at + 1)
        return None

    @classmethod
    def _plausible(cls, elf: ElfFile, address: int, data: bytes) -> Pclntab | None:
        try:
            return cls(elf, address, data)
        except InputError:
            return None

    def _read_header(self) -> _Header:
        words = struct.unpack_from("<8Q", self._data, 8)
        if self.format == (1, 2):
            return _Header(words[0], 0, names_at=0, names_end=len(self._data), functions_at=16)
        if self.format == (1, 16):
            return _Header(words[0], 0, names_at=words[2], names_end=words[3], functions_at=words[6])
        return _Header(words[0], words[2], names_at=words[3], names_end=words[4], functions_at=words[7])

    @property
    def addresses(self) -> range:
        """Where the table itself is."""
        return range(self._address, self._address + len(self._data))

    # --- functions by name ---

    def functions(self, names: Collection[str]) -> dict[str, GoFunction]:
        """Those of `names` that the program holds, by their full names ("crypto/tls.(*Conn).Read").

        A name is searched as bytes and not by walking the table: 20 ms for a program of 100 MB.
        """
        found = {}
        for name in names:
            function = self._function(name)
            if function is not None:
                found[name] = function
        return found

    def _function(self, name: str) -> GoFunction | None:
        for name_offset in self._name_offsets(name.encode()):
            for index in self._indices(name_offset):
                start, end = self._entry(index), self._entry(index + 1)
                if start < end:
                    return GoFunction(name, start, end - start)
        return None

    def _name_offsets(self, name: bytes) -> Iterator[int]:
        """Where the name stands, counted as functions refer to it. It may also be the end of a longer name."""
        for at in self._places(name + b"\0", self._header.names_at, self._header.names_end, self._last_name):
            self._last_name = at
            yield at - self._header.names_at

    def _indices(self, name_offset: int) -> Iterator[int]:
        """Indices of the functions with this name: of every function, the name's offset follows the entry."""
        wanted = struct.pack("<i", name_offset)
        before = 4 if self._compact else 8
        start = self._header.functions_at
        described = start + self._header.function_count * 2 * before  # descriptions follow the index
        # Format 1.2 counts its offsets from the table's start, all others from the index of functions.
        counted_from = 0 if self.format == (1, 2) else start
        for at in self._places(wanted, described, len(self._data), self._last_description):
            if at % 4 == start % 4:
                index = self._index_of(at - before - counted_from)
                if index is not None:
                    self._last_description = at
                    yield index

    def _places(self, wanted: bytes, start: int, end: int, near: int) -> Iterator[int]:
        """Where bytes stand in a part of the table, first around `near`: the functions of a package are neighbours."""
        around = (max(start, near - _NEIGHBOURHOOD), min(end, near + _NEIGHBOURHOOD))
        for low, high in (around, (start, end)):
            at = self._data.find(wanted, low, high) if low < high else -1
            while at >= 0:
                yield at
                at = self._data.find(wanted, at + 1, high)

    def _index_of(self, offset: int) -> int | None:
        """The function whose description stands at `offset`, if there is one."""
        size = 4 if self._compact else 8
        start = self._header.functions_at
        end = start + self._header.function_count * 2 * size
        if offset < 0:
            return None
        wanted = struct.pack("<I" if self._compact else "<Q", offset)
        at = self._data.find(wanted, start, end)
        while at >= 0:
            if (at - start) % (2 * size) == size:
                return (at - start) // (2 * size)
            at = self._data.find(wanted, at + 1, end)
        return None

    def _entry(self, index: int) -> int:
        """The address of a function's first instruction; of `function_count`, where the last one ends."""
        if not self._compact:
            return self._pointers.at(self._address + self._header.functions_at + index * 16)
        (offset,) = struct.unpack_from("<I", self._data, self._header.functions_at + index * 8)
        return self.text + int(offset)

    # --- where offsets count from ---

    @property
    def text(self) -> int:
        """The address of the first Go code, runtime.text. With cgo the section .text begins with C code, before it."""
        if self._text is None:
            self._text = self._find_text()
        return self._text

    def _find_text(self) -> int:
        if self.format == (1, 18) or self._header.text_start:
            return self._pointers.at(self._address + 24)
        text_start = self._pointers.at(self._address + 24)  # Go 1.20 to 1.25: a relocation in a PIE
        return text_start or self._text_of_module()

    def _text_of_module(self) -> int:
        """Go 1.26 and later tell it in runtime.firstmoduledata alone, which begins with a pointer to this table."""
        (first_offset,) = struct.unpack_from("<I", self._data, self._header.functions_at)
        own = self._elf.section(".go.module")
        for module in [own.address] if own else self._pointers.to(self._address, writable=True):
            try:
                if self._pointers.at(module + 8) != self._address + self._header.names_at:
                    continue
                text = self._pointers.at(module + _MODULE_TEXT)
                if self._pointers.at(module + _MODULE_MINPC) == text + first_offset:
                    return text
            except InputError:
                continue
        section = self._elf.section(".text")
        if section is None:
            raise InputError(f"{self._elf.name}: cannot find where its Go code begins")
        return section.address
