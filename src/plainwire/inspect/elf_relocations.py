"""Pointers in an ELF file as they will be in memory, before the load address is added.

In a position-independent file a pointer is an R_*_RELATIVE relocation; linkers differ in whether the file also holds
the value where the pointer stands (Go's own does, GNU ld does not).
"""

from __future__ import annotations

import struct

from plainwire.inspect.elf import ElfFile

_RELATIVE = {"x86_64": 8, "aarch64": 1027}  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE of <elf.h>
_ENTRY_SIZE = 24  # Elf64_Rela: where, type, value
_SECTIONS = (".rela.dyn", ".rela")


class Pointers:
    """Reads and finds pointers in a 64-bit little-endian file."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._kind = _RELATIVE.get(elf.machine, 0)
        # Searched as bytes: a large program has half a million of them.
        self._tables = [data for name in _SECTIONS if self._kind and (data := elf.section_bytes(name))]

    def at(self, address: int) -> int:
        """The pointer that stands at an address. Raises InputError where the file holds nothing."""
        wanted = struct.pack("<QQ", address, self._kind)
        for table in self._tables:
            at = _find_aligned(table, wanted, 0, _ENTRY_SIZE)
            if at >= 0:
                return int(struct.unpack_from("<Q", table, at + 16)[0])
        return int(struct.unpack("<Q", self._elf.read(address, 8))[0])

    def to(self, value: int) -> list[int]:
        """The addresses, in writable or relocated memory and in constants, where a pointer to `value` stands."""
        found = []
        wanted = struct.pack("<QQ", self._kind, value)
        for table in self._tables:
            at = 0
            while (at := table.find(wanted, at)) >= 0:
                if at % _ENTRY_SIZE == 8:
                    found.append(int(struct.unpack_from("<Q", table, at - 8)[0]))
                at += 8
        if not found:
            found = self._in_place(struct.pack("<Q", value))
        return found

    def _in_place(self, wanted: bytes) -> list[int]:
        found = []
        for segment in self._elf.loaded_segments:
            if segment.executable and not segment.writable:
                continue
            data = self._elf.read_file(segment.offset, segment.file_size)
            at = -8
            while (at := _find_aligned(data, wanted, at + 8, 8)) >= 0:
                found.append(segment.address + at)
        return found


def _find_aligned(data: bytes, wanted: bytes, start: int, alignment: int) -> int:
    at = data.find(wanted, start)
    while at >= 0 and at % alignment:
        at = data.find(wanted, at + 1)
    return at
