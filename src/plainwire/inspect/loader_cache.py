"""Reads the dynamic loader's cache, which names the libraries that programs will find by their sonames.

The format is glibc's: struct cache_file, struct cache_file_new and struct file_entry_new of sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plainwire.errors import InputError

CACHE = Path("/etc/ld.so.cache")

_OLD_MAGIC, _OLD_ENTRY_SIZE = b"ld.so-1.7.0\0", 12
_MAGIC = b"glibc-ld.so.cache1.1"
# Bits 8 to 15 of an entry's flags: the FLAG_*_LIB* values of sysdeps/generic/ldconfig.h.
_MACHINES = {0x00: "i386", 0x03: "x86_64", 0x05: "ppc64", 0x04: "s390x", 0x08: "x32", 0x0A: "aarch64", 0x10: "riscv"}


@dataclass(frozen=True, slots=True)
class CachedLibrary:
    """A line of `ldconfig -p`. `machine` is called as ElfFile calls it, None where this version doesn't know it."""

    soname: str
    path: str
    machine: str | None


def cached_libraries(wanted: Callable[[str], bool], cache: Path = CACHE) -> list[CachedLibrary]:
    """The libraries whose soname `wanted` accepts, in the cache's order; several of one soname serve several machines.

    [] where there is no cache (musl has none). Raises InputError when the file is damaged or can't be read.
    """
    try:
        data = cache.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{cache}: cannot read: {error.strerror}") from None
    try:
        return _parse(data, wanted)
    except (struct.error, ValueError):
        raise InputError(f"{cache}: not a loader cache that plainwire can read; `ldconfig` writes it anew") from None


def _parse(data: bytes, wanted: Callable[[str], bool]) -> list[CachedLibrary]:
    order = "<"
    if data.startswith(_OLD_MAGIC):  # both formats in one file, as glibc wrote it before 2.32
        (count,) = struct.unpack_from(order + "I", data, len(_OLD_MAGIC))
        data = data[(len(_OLD_MAGIC) + 4 + count * _OLD_ENTRY_SIZE + 7) & ~7 :]
    if not data.startswith(_MAGIC):
        raise ValueError
    (count,) = struct.unpack_from(order + "I", data, len(_MAGIC))
    entries = data[48 : 48 + count * 24]
    if len(entries) != count * 24:
        raise ValueError
    found = []
    for flags, key, value, _os_version, _hwcap in struct.iter_unpack(order + "iIIIQ", entries):
        soname = _string(data, key)
        if wanted(soname):
            found.append(CachedLibrary(soname, _string(data, value), _MACHINES.get(flags >> 8 & 0xFF)))
    return found


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("utf-8", "surrogateescape")
