"""Where an ELF file keeps the addresses of functions that it takes from libraries (its global offset table)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from plainwire.inspect.elf import ElfFile

# Elf64_Sym and Elf64_Rela of <elf.h>.
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_TABLES = (".rela.plt", ".rela.dyn")


def import_slots(elf: ElfFile, function: str) -> list[int]:
    """The addresses, as linked, of the words that the dynamic linker fills with the address of `function`.

    For 64-bit little-endian files that have section headers; empty where nothing is imported by this name. Raises
    InputError for a damaged file.
    """
    indices = set(_symbol_indices(elf, function))
    slots: list[int] = []
    for name in _TABLES if indices else ():
        table = elf.section_bytes(name) or b""
        whole = len(table) - len(table) % _RELOCATION.size
        slots += [where for where, info, _ in _RELOCATION.iter_unpack(table[:whole]) if info >> 32 in indices]
    return slots


def _symbol_indices(elf: ElfFile, function: str) -> Iterator[int]:
    symbols, names = elf.section_bytes(".dynsym") or b"", elf.section_bytes(".dynstr") or b""
    name_at = names.find(b"\0" + function.encode() + b"\0") + 1
    if not name_at:
        return
    whole = len(symbols) - len(symbols) % _SYMBOL.size
    for index, (name, *_) in enumerate(_SYMBOL.iter_unpack(symbols[:whole])):
        if name == name_at:
            yield index
