"""The structures and numbers of ELF files that plainwire uses, from elf(5) and <elf.h>."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64",
            243: "riscv", 258: "loongarch"}  # fmt: skip

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
SHT_SYMTAB, SHT_NOTE, SHT_NOBITS = 2, 7, 8
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_GNU_HASH = 1, 4, 5, 6, 10, 14, 0x6FFFFEF5
PF_X, PF_W = 1, 2
SHN_XINDEX = 0xFFFF
NT_GNU_BUILD_ID = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header. `address` is as linked, before address space randomisation."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int

    @property
    def executable(self) -> bool:
        return bool(self.flags & PF_X)

    @property
    def writable(self) -> bool:
        return bool(self.flags & PF_W)


@dataclass(frozen=True, slots=True)
class Section:
    """A section header. `size` counts bytes of memory; a section of type SHT_NOBITS has none in the file."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int


@dataclass(frozen=True, slots=True)
class Format:
    """How this file's class and byte order lay out its structures."""

    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    dynamic: struct.Struct


def _make_format(order: str, bits: int) -> Format:
    word = "Q" if bits == 64 else "I"
    segment = "IIQQQQQQ" if bits == 64 else "IIIIIIII"
    return Format(
        header=struct.Struct(f"{order}16xHHI{word}{word}{word}IHHHHHH"),
        segment=struct.Struct(order + segment),
        section=struct.Struct(f"{order}II{word}{word}{word}{word}II{word}{word}"),
        dynamic=struct.Struct(f"{order}{word}{word}"),
    )


FORMATS = {(order, bits): _make_format(order, bits) for order in "<>" for bits in (32, 64)}
