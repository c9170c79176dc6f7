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
        self._searched: dict[tuple[bool, range], list[tuple[int, bytes]]] = {}
        self._tables = [data for name in _SECTIONS if self._kind and (data := elf.section_bytes(name))]

    def at(self, address: int) -> int:
        """The pointer that stands at an address. Raises InputError where the file holds nothing."""
        wanted = struct.pack("<QQ", address, self._kind)
        for table in self._tables:
            at = _find_aligned(table, wanted, 0, _ENTRY_SIZE)
            if at >= 0:
                return int(struct.unpack_from("<Q", table, at + 16)[0])
        return int(struct.unpack("<Q", self._elf.read(address, 8))[0])

    def to(self, value: int, *, writable: bool, without: range = range(0), within: range | None = None) -> list[int]:
        """The addresses where a pointer to `value` stands in writable memory or in constants.

        without: addresses that are not searched; within: of constants in place, only these are.
        """
        found = []
        wanted = struct.pack("<QQ", self._kind, value)
        for table in self._tables:
            at = _find_aligned(table, wanted, 8, _ENTRY_SIZE, remainder=8)
            while at >= 0:
                found.append(int(struct.unpack_from("<Q", table, at - 8)[0]))
                at = _find_aligned(table, wanted, at + 1, _ENTRY_SIZE, remainder=8)
        return found or self._in_place(struct.pack("<Q", value), writable, without, within)

    def _in_place(self, wanted: bytes, writable: bool, without: range, within: range | None) -> list[int]:
        found = []
        significant = wanted.rstrip(b"\0") or wanted  # zeros at its end are everywhere, and would slow the search down
        for address, data in self.data(writable, without):
            start, end = 0, len(data)
            if within is not None:
                start, end = max(within.start - address, 0), min(within.stop - address, end)
            at = _find_aligned(data, significant, start, 8, remainder=-address % 8, end=end)
            while at >= 0:
                if data[at : at + 8] == wanted:
                    found.append(address + at)
                at = _find_aligned(data, significant, at + 1, 8, remainder=-address % 8, end=end)
        return found

    def data(self, writable: bool, without: range) -> list[tuple[int, bytes]]:
        """Address and bytes of writable memory or of constants; kept, since several things are looked for in it."""
        key = (writable, without)
        if key not in self._searched:
            parts = []
            for segment in self._elf.loaded_segments:
                if segment.executable or segment.writable != writable:
                    continue
                start, end = segment.address, segment.address + segment.file_size
                if without and start <= without.start < end:
                    parts += [(start, without.start), (min(without.stop, end), end)]
                else:
                    parts.append((start, end))
            self._searched[key] = [(low, self._elf.read(low, high - low)) for low, high in parts if low < high]
        return self._searched[key]


def _find_aligned(
    data: bytes, wanted: bytes, start: int, alignment: int, *, remainder: int = 0, end: int | None = None
) -> int:
    at = data.find(wanted, start, end)
    while at >= 0 and at % alignment != remainder:
        at = data.find(wanted, at + 1, end)
    return at
