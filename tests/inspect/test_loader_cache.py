"""The loader's cache, against `ldconfig -p`."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.errors import InputError
from plainwire.inspect.loader_cache import CACHE, cached_libraries

LDCONFIG = shutil.which("ldconfig") or shutil.which("ldconfig", path="/usr/sbin:/sbin")


@pytest.mark.skipif(LDCONFIG is None or not CACHE.exists(), reason="no ldconfig on this machine")
def test_agrees_with_ldconfig() -> None:
    assert LDCONFIG is not None
    printed = subprocess.run([LDCONFIG, "-p"], capture_output=True, text=True, check=True).stdout
    expected = [tuple(line.strip().split(" => ")) for line in printed.splitlines() if " => " in line]
    found = cached_libraries(lambda soname: True)
    assert [(library.soname, library.path) for library in found] == [
        (name.rsplit(" (", 1)[0], path) for name, path in expected
    ]
    for library, (name, _) in zip(found, expected, strict=True):
        assert (library.machine == "x86_64") == ("x86-64" in name)


def _cache(*libraries: tuple[int, str, str]) -> bytes:
    """A cache as ldconfig writes it: of (flags, soname, path)."""
    strings, entries = b"", b""
    strings_at = 48 + 24 * len(libraries)
    for flags, soname, path in libraries:
        places = []
        for text in (soname, path):
            places.append(strings_at + len(strings))
            strings += text.encode() + b"\0"
        entries += struct.pack("<iIIIQ", flags, *places, 0, 0)
    return (
        b"glibc-ld.so.cache1.1" + struct.pack("<II5I", len(libraries), len(strings), 2, 0, 0, 0, 0) + entries + strings
    )


LIBRARIES = _cache(
    (0x0303, "libssl.so.3", "/lib/x86_64-linux-gnu/libssl.so.3"),
    (0x0003, "libssl.so.3", "/lib/i386-linux-gnu/libssl.so.3"),
    (0x0A03, "libssl.so.1.1", "/opt/libssl.so.1.1"),
    (0x0303, "libc.so.6", "/lib/libc.so.6"),
)


def _old_format_before(cache: bytes) -> bytes:
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 3) + bytes(36)
    return old + bytes(-len(old) % 8) + cache


@pytest.mark.parametrize("cache", [LIBRARIES, _old_format_before(LIBRARIES)], ids=["new", "old and new"])
def test_sonames_and_machines(tmp_path: Path, cache: bytes) -> None:
    path = tmp_path / "cache"
    path.write_bytes(cache)
    found = cached_libraries(lambda soname: soname.startswith("libssl."), path)
    assert [(library.path, library.machine) for library in found] == [
        ("/lib/x86_64-linux-gnu/libssl.so.3", "x86_64"),
        ("/lib/i386-linux-gnu/libssl.so.3", "i386"),
        ("/opt/libssl.so.1.1", "aarch64"),
    ]


def test_no_cache_is_no_error(tmp_path: Path) -> None:
    assert cached_libraries(lambda soname: True, tmp_path / "absent") == []


@given(size=st.integers(0, len(LIBRARIES) - 1), junk=st.binary(max_size=60), at=st.integers(0, len(LIBRARIES)))
def test_damaged_caches(tmp_path_factory: pytest.TempPathFactory, size: int, junk: bytes, at: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cache"
    for data in (LIBRARIES[:size], LIBRARIES[:at] + junk + LIBRARIES[at + len(junk) :], junk):
        path.write_bytes(data)
        try:
            cached_libraries(lambda soname: True, path)
        except InputError as error:
            assert "ldconfig" in str(error)
