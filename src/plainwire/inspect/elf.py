"""Reads ELF files: symbols, build id, segments. Quick enough to look at every file that every process maps.

Facts are from the System V ABI (elf(5), <elf.h>) and, for DT_GNU_HASH, from glibc's elf/dl-lookup.c.

The file is read with pread and never mapped: a traced program can truncate its own library at any moment, and touching
a mapped page beyond the new end would kill plainwire with SIGBUS. Any bytes at all give an answer or an InputError.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from plainwire.errors import InputError
from plainwire.inspect.elf_structures import (
    DT_GNU_HASH,
    DT_HASH,
    DT_NEEDED,
    DT_SONAME,
    DT_STRSZ,
    DT_STRTAB,
    DT_SYMTAB,
    FORMATS,
    MACHINES,
    NT_GNU_BUILD_ID,
    PT_DYNAMIC,
    PT_INTERP,
    PT_LOAD,
    PT_NOTE,
    SHN_XINDEX,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_SYMTAB,
    Section,
    Segment,
)
from plainwire.inspect.elf_symbols import STT_OBJECT, DynamicTable, Symbol, SymbolTable

__all__ = ["ElfFile", "Section", "Segment", "Symbol"]

# The first read takes this much: the ELF header, the program headers and usually the notes in one system call.
_HEAD_SIZE = 4096
_MAX_HEADERS = 65536
_MAX_DYNAMIC_SIZE = 1 << 20
_MAX_NAME = 4096
_MAX_NOTE_SIZE = 1 << 16
_MAX_SECTION_NAMES = 1 << 24
# A file can claim any size without taking any room on the disk (sparse): this much is given at once, and no more.
_MAX_READ = 1 << 29


class ElfFile:
    """An ELF file, open for reading; use it as a context manager.

    source: a path, or an open descriptor, which stays the caller's to close.
    name: what errors call the file; the path if not given.
    Raises InputError when the file can't be read, is no ELF file, or is cut short, also later, when a part that is
    asked for lies outside the file. 32-bit files and foreign machines are read too: see `bits` and `machine`.
    """

    machine: str
    bits: int
    byte_order: str  # "<" or ">", as struct writes it
    segments: tuple[Segment, ...]

    def __init__(self, source: Path | str | int, *, name: str | None = None) -> None:
        self.name = name if name is not None else f"descriptor {source}" if isinstance(source, int) else str(source)
        self._owned = not isinstance(source, int)
        self._descriptor = source if isinstance(source, int) else self._open(source)
        try:
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path | str) -> int:
        try:
            # O_NONBLOCK: opening a FIFO must not wait for its writer.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.name}: cannot open: {getattr(error, 'strerror', None) or error}") from None

    def close(self) -> None:
        if self._owned and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self.name}: {problem}")

    # --- bytes ---

    def read_file(self, offset: int, size: int) -> bytes:
        """`size` bytes at a file offset. Raises InputError when the file has not got them."""
        if offset >= 0 and size >= 0 and offset + size <= len(self._head):
            return self._head[offset : offset + size]
        if offset < 0 or size < 0 or offset + size > self.size:
            raise self._error(f"truncated or damaged ELF file: {size} bytes at {offset:#x} lie outside it")
        if size > _MAX_READ:
            raise self._error(f"a part of {size} bytes is more than plainwire reads at once")
        data = self._pread(offset, size)
        if len(data) != size:
            raise self._error("the file shrank while it was read")
        return data

    def _pread(self, offset: int, size: int) -> bytes:
        """Like read_file, but gives less at the end of the file, and nothing beyond."""
        if not 0 <= offset <= self.size:
            return b""
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise self._error(f"cannot read: {error.strerror}") from None
        return data

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at an address as linked; bytes that the file does not hold (.bss) are an InputError."""
        return self.read_file(self.file_offset(address), size)

    def file_offset(self, address: int) -> int:
        """Where the byte at an address (as linked) stands in the file: what a uprobe wants.

        Raises InputError when no loaded segment holds it.
        """
        for segment in self.loaded_segments:
            if segment.address <= address < segment.address + segment.file_size:
                return address - segment.address + segment.offset
        raise self._error(f"no loaded segment holds address {address:#x}")

    def address(self, file_offset: int) -> int:
        """The address (as linked) of a byte of the file. Raises InputError when it is not loaded."""
        for segment in self.loaded_segments:
            if segment.offset <= file_offset < segment.offset + segment.file_size:
                return file_offset - segment.offset + segment.address
        raise self._error(f"no loaded segment holds file offset {file_offset:#x}")

    # --- headers ---

    def _read_headers(self) -> None:
        self._head = b""
        try:
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise self._error(f"cannot read: {error.strerror}") from None
        if not stat.S_ISREG(status.st_mode):
            raise self._error("not a regular file")
        self.size = status.st_size
        self._head = self._pread(0, min(self.size, _HEAD_SIZE))
        head = self._head
        if head[:4] != b"\x7fELF":
            raise self._error("not an ELF file")
        if len(head) < 16 or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise self._error("not a valid ELF file: unknown class or byte order")
        self.bits = 32 if head[4] == 1 else 64
        self.byte_order = "<" if head[5] == 1 else ">"
        self._format = FORMATS[self.byte_order, self.bits]
        fields = self._format.header.unpack(self.read_file(0, self._format.header.size))
        (self.type, machine, _version, self.entry, segments_at, self._sections_at, _flags, _header_size,
         segment_size, segment_count, self._section_size, self._section_count, self._names_index) = fields  # fmt: skip
        self.machine = MACHINES.get(machine, f"machine {machine}")
        self.segments = self._read_segments(segments_at, segment_size, segment_count)
        self.loaded_segments = tuple(segment for segment in self.segments if segment.type == PT_LOAD)

    def _read_segments(self, offset: int, entry_size: int, count: int) -> tuple[Segment, ...]:
        if not count:
            return ()
        if entry_size != self._format.segment.size:
            raise self._error(f"not a valid ELF file: program headers of {entry_size} bytes")
        table = self.read_file(offset, entry_size * count)
        rows = self._format.segment.iter_unpack(table)
        if self.bits == 64:
            return tuple(
                Segment(kind, flags, at, va, filesz, memsz) for kind, flags, at, va, _, filesz, memsz, _ in rows
            )
        return tuple(Segment(kind, flags, at, va, filesz, memsz) for kind, at, va, _, filesz, memsz, flags, _ in rows)

    @property
    def executable_segments(self) -> tuple[Segment, ...]:
        """The loaded segments that hold code."""
        return tuple(segment for segment in self.loaded_segments if segment.executable)

    @cached_property
    def interpreter(self) -> str | None:
        """The dynamic loader that an executable asks for; None for libraries and static executables."""
        for segment in self.segments:
            if segment.type == PT_INTERP:
                return _text(self.read_file(segment.offset, min(segment.file_size, _MAX_NAME)).split(b"\0")[0])
        return None

    # --- sections: for people and debuggers; the loader does without, so they may be missing ---

    @cached_property
    def _section_rows(self) -> tuple[list[tuple[int, ...]], int]:
        """The section headers as they stand in the file, and the index of the one with their names."""
        if not self._sections_at:
            return [], 0
        form = self._format.section
        if self._section_size != form.size:
            raise self._error(f"not a valid ELF file: section headers of {self._section_size} bytes")
        count, names_index = self._section_count, self._names_index
        if count == 0 or names_index == SHN_XINDEX:  # more than 16 bits hold: the first header has the numbers
            first = form.unpack(self.read_file(self._sections_at, form.size))
            count, names_index = count or first[5], first[6] if names_index == SHN_XINDEX else names_index
        if count > _MAX_HEADERS:
            raise self._error(f"not a valid ELF file: {count} sections")
        return list(form.iter_unpack(self.read_file(self._sections_at, form.size * count))), names_index

    @cached_property
    def _section_names(self) -> bytes:
        rows, index = self._section_rows
        if index >= len(rows) or rows[index][1] == SHT_NOBITS:
            return b""
        return self.read_file(rows[index][4], min(rows[index][5], _MAX_SECTION_NAMES))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; () when the file has none."""
        return tuple(
            Section(_string_at(self._section_names, name), kind, flags, address, offset, size, link, entry_size)
            for name, kind, flags, address, offset, size, link, _info, _align, entry_size in self._section_rows[0]
        )

    def section(self, name: str) -> Section | None:
        """The first section of this name."""
        if name.encode() + b"\0" not in self._section_names:  # nearly always the answer, and quickly
            return None
        return next((section for section in self.sections if section.name == name), None)

    def section_bytes(self, name: str) -> bytes | None:
        """What the file holds of a section, as stored; None when there is no such section, b"" for .bss."""
        section = self.section(name)
        if section is None:
            return None
        return b"" if section.type == SHT_NOBITS else self.read_file(section.offset, section.size)

    # --- dynamic section ---

    @cached_property
    def _dynamic(self) -> tuple[dict[int, int], list[int]]:
        """The dynamic section's values by tag, and the values of DT_NEEDED, which may be many."""
        values: dict[int, int] = {}
        needed: list[int] = []
        for segment in self.segments:
            if segment.type == PT_DYNAMIC:
                size = min(segment.file_size, _MAX_DYNAMIC_SIZE)
                size -= size % self._format.dynamic.size
                for tag, value in self._format.dynamic.iter_unpack(self.read_file(segment.offset, size)):
                    if tag == 0:
                        break
                    if tag == DT_NEEDED:
                        needed.append(value)
                    else:
                        values.setdefault(tag, value)
                break
        return values, needed

    def _dynamic_string(self, index: int) -> str:
        values, _ = self._dynamic
        if DT_STRTAB not in values or index >= values.get(DT_STRSZ, 1 << 62):
            raise self._error("not a valid ELF file: its dynamic section names a string that does not exist")
        data = self._pread(self.file_offset(values[DT_STRTAB]) + index, 128)
        if b"\0" not in data:
            data = self._pread(self.file_offset(values[DT_STRTAB]) + index, _MAX_NAME)
        return _text(data.split(b"\0")[0])

    @cached_property
    def soname(self) -> str | None:
        """The name by which programs are linked against this library."""
        index = self._dynamic[0].get(DT_SONAME)
        return None if index is None else self._dynamic_string(index)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """The sonames of the libraries that this file is linked against."""
        return tuple(self._dynamic_string(index) for index in self._dynamic[1])

    @cached_property
    def build_id(self) -> str | None:
        """The linker's GNU build id in hexadecimal: equal for equal builds, also after stripping."""
        places = [(segment.offset, segment.file_size) for segment in self.segments if segment.type == PT_NOTE]
        if not places:
            places = [(section.offset, section.size) for section in self.sections if section.type == SHT_NOTE]
        for offset, size in places:
            found = self._build_id_in(self.read_file(offset, min(size, _MAX_NOTE_SIZE)))
            if found:
                return found
        return None

    def _build_id_in(self, notes: bytes) -> str | None:
        header = struct.Struct(self.byte_order + "III")
        at = 0
        while at + header.size <= len(notes):
            name_size, size, kind = header.unpack_from(notes, at)
            name_at = at + header.size
            value_at = name_at + (name_size + 3 & ~3)
            if kind == NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
                return notes[value_at : value_at + size].hex() or None
            at = value_at + (size + 3 & ~3)
        return None

    # --- symbols ---

    @cached_property
    def _dynamic_symbols(self) -> DynamicTable | None:
        values, _ = self._dynamic
        if DT_SYMTAB not in values or DT_STRTAB not in values:
            return None
        return DynamicTable(
            self,
            symbols_at=self.file_offset(values[DT_SYMTAB]),
            names_at=self.file_offset(values[DT_STRTAB]),
            names_size=values.get(DT_STRSZ, 0),
            gnu_hash_at=self.file_offset(values[DT_GNU_HASH]) if DT_GNU_HASH in values else None,
            hash_at=self.file_offset(values[DT_HASH]) if DT_HASH in values else None,
        )

    @cached_property
    def _static_symbols(self) -> SymbolTable | None:
        rows, _ = self._section_rows
        for _name, kind, _flags, _address, offset, size, link, *_more in rows:
            if kind == SHT_SYMTAB and link < len(rows):
                names = rows[link]
                if names[1] == SHT_NOBITS:  # a debug file without its symbols
                    return None
                return SymbolTable(self, offset, size, names_at=names[4], names_size=names[5])
        return None

    def exported(self, names: Collection[str]) -> dict[str, Symbol]:
        """Those of `names` that are defined functions visible to other files (.dynsym). Takes microseconds a name."""
        table = self._dynamic_symbols
        return table.find(names) if table else {}

    def exported_variable(self, name: str) -> Symbol | None:
        """A variable that is visible to other files (.dynsym)."""
        table = self._dynamic_symbols
        return table.find([name], STT_OBJECT).get(name) if table else None

    def symbols(self, names: Collection[str]) -> dict[str, Symbol]:
        """Those of `names` that are functions defined here, exported (.dynsym) or not (.symtab)."""
        found = self.exported(names)
        missing = [name for name in names if name not in found]
        if missing and self._static_symbols:
            found |= self._static_symbols.find(missing)
        return found

    def all_symbols(self) -> Iterator[Symbol]:
        """Every function defined here: .dynsym, then what only .symtab has. Walks the tables: see `symbols`."""
        seen: set[Symbol] = set()
        for table in (self._dynamic_symbols, self._static_symbols):
            if table:
                for symbol in table:
                    if symbol not in seen:
                        seen.add(symbol)
                        yield symbol


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _string_at(table: bytes, index: int) -> str:
    return _text(table[index : max(table.find(b"\0", index), index)])
