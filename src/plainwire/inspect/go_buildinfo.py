"""What a Go program tells about its own making: version of the toolchain and build settings.

The linker writes it at the start of the data segment (Go's debug/buildinfo reads it for `go version -m`). Obfuscators
remove it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.elf_relocations import Pointers

_MAGIC = b"\xff Go buildinf:"
_ALIGNMENT = 16
_SEARCHED = 1 << 16
_INLINE_STRINGS = 2  # flags: Go 1.18 and later; before, two pointers to strings
_HEADER_SIZE = 32
_MAX_VERSION = 256
_MAX_MODULE_INFO = 1 << 20
_SENTINEL_SIZE = 16  # stands before and after the module information


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """version: as `go version` prints it ("go1.27.3"). settings: of the build ("CGO_ENABLED": "0"), from Go 1.18 on."""

    version: str
    settings: dict[str, str] = field(default_factory=dict)


def read_build_info(elf: ElfFile) -> BuildInfo | None:
    """The build information of a Go program; None when there is none, or none that makes sense."""
    address = _find(elf)
    if address is None:
        return None
    try:
        header = elf.read(address, _HEADER_SIZE)
        if header[15] & _INLINE_STRINGS:
            version, after = _inline_string(elf, address + _HEADER_SIZE, _MAX_VERSION)
            module_info, _ = _inline_string(elf, after, _MAX_MODULE_INFO)
        else:
            pointers = Pointers(elf)
            version = _go_string(elf, pointers, pointers.at(address + 16), _MAX_VERSION)
            module_info = _go_string(elf, pointers, pointers.at(address + 24), _MAX_MODULE_INFO)
    except InputError:
        return None
    text = version.decode("ascii", "replace")
    if not text.isprintable() or not text:
        return None
    return BuildInfo(text, _settings(module_info))


def _find(elf: ElfFile) -> int | None:
    section = elf.section(".go.buildinfo")
    if section is not None:
        return section.address
    for segment in elf.loaded_segments:
        if segment.writable:
            data = elf.read_file(segment.offset, min(segment.file_size, _SEARCHED))
            at = data.find(_MAGIC)
            while at >= 0 and at % _ALIGNMENT:
                at = data.find(_MAGIC, at + 1)
            if at >= 0:
                return segment.address + at
    return None


def _inline_string(elf: ElfFile, address: int, limit: int) -> tuple[bytes, int]:
    """A string after its length as a varint (7 bits a byte, lowest first), and the address after it."""
    size = shift = 0
    while True:
        (byte,) = elf.read(address, 1)
        address += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 28:
            return b"", address
    return elf.read(address, min(size, limit)), address + size


def _go_string(elf: ElfFile, pointers: Pointers, header: int, limit: int) -> bytes:
    try:
        (size,) = struct.unpack("<Q", elf.read(header + 8, 8))
    except InputError:  # an empty string: in .bss, which the file does not hold
        return b""
    return elf.read(pointers.at(header), min(size, limit)) if size else b""


def _settings(module_info: bytes) -> dict[str, str]:
    settings = {}
    text = module_info[_SENTINEL_SIZE:-_SENTINEL_SIZE].decode("utf-8", "replace")
    for line in text.split("\n"):
        kind, _, rest = line.partition("\t")
        key, equals, value = rest.partition("=")
        if kind == "build" and equals:
            settings[key] = value.strip('"')
    return settings
