"""Says which TLS implementation a file holds: by its soname, its functions or its contents, never by its path.

`identify` is for every file that every process maps; `embedded` reads the whole file, for those who ask why nothing is
captured. A further implementation is a further row of IMPLEMENTATIONS.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_buildinfo import read_build_info
from plainwire.modules import all_modules

_CHUNK = 1 << 20
_OVERLAP = 512  # longer than any text that a pattern matches
_MAX_DATA = 1 << 30  # no real program has more constants; a sparse file can claim them
_GO = "Go crypto/tls"
_GO_TYPE = b"crypto/tls.(*Conn)."


@dataclass(frozen=True, slots=True)
class Implementation:
    """How a TLS implementation is recognised.

    name: what plainwire.modules calls it: a module that serves it makes it captured.
    soname: up to ".so"; wheels put a hash before that ("libgnutls-8bd944e8.so.30").
    functions: defined together only by this implementation.
    contents: text in the read-only data of a file that has this implementation linked in.
    version: its text in the implementation's own file or in the library that it needs by a soname with `version_in`.
    family: implementations of which a file holds one; the first row that fits is meant.
    reason: why it isn't captured, where more can be said than that it isn't yet.
    """

    name: str
    soname: str | None = None
    functions: tuple[str, ...] = ()
    contents: bytes | None = None
    version: bytes | None = None
    version_in: str | None = None
    family: str | None = None
    reason: str | None = None


_OPENSSL = ("SSL_read", "SSL_write")  # what all that offer OpenSSL's interface have
_CC = rb"ssl/ssl_lib\.cc\0"  # __FILE__ in the errors of BoringSSL and its descendants, which are C++

# The first row that fits is what the file holds.
IMPLEMENTATIONS = (
    # libgnutls-openssl exports SSL_read over a structure of its own: the soname must speak before the functions.
    Implementation(
        "GnuTLS",
        soname=r"libgnutls(-openssl)?",
        functions=("gnutls_record_send", "gnutls_record_recv"),
        version=rb"Enabled GnuTLS (\d+\.\d+\.\d+)",
    ),
    # Its libssl3.so has nothing to do with OpenSSL's libssl.so.3; Firefox puts it into libnss3.so.
    Implementation("NSS", soname="libssl3", functions=("SSL_ImportFD",), version=rb"Version: NSS (\d+\.\d+(?:\.\d+)*)"),
    Implementation(
        "AWS-LC",
        functions=(*_OPENSSL, "SSL_to_bytes"),
        contents=rb"aws-lc[^\0]{0,200}/" + _CC,
        version=rb"AWS-LC (?:FIPS )?(\d+\.\d+\.\d+)",
        version_in="libcrypto",
        family="OpenSSL",
    ),
    Implementation(
        "LibreSSL",
        functions=(*_OPENSSL, "SSL_CTX_load_verify_mem", "SSL_CTX_use_certificate_chain_mem"),
        contents=rb"LibreSSL \d+\.\d+\.\d+",
        version=rb"LibreSSL (\d+\.\d+\.\d+)",
        version_in="libcrypto",
        family="OpenSSL",
    ),
    Implementation(
        "BoringSSL",
        functions=(*_OPENSSL, "SSL_CTX_set_grease_enabled"),
        contents=_CC,
        family="OpenSSL",
    ),
    Implementation(
        "OpenSSL",
        functions=_OPENSSL,
        contents=rb"ssl/ssl_lib\.c\0",
        version=rb"OpenSSL (\d+\.\d+\.\d+[a-z]*(?:-[a-z0-9]+)*)\+?[a-z]* +(?:FIPS )?\d+ [A-Z][a-z]{2} \d{4}",
        version_in="libcrypto",
        family="OpenSSL",
    ),
    Implementation("mbed TLS", soname="libmbedtls", functions=("mbedtls_ssl_read", "mbedtls_ssl_write")),
    Implementation(
        "wolfSSL",
        soname="libwolfssl",
        functions=("wolfSSL_read", "wolfSSL_write"),
        contents=rb"wolfSSL (\d+\.\d+\.\d+)\0",
        version=rb"wolfSSL (\d+\.\d+\.\d+)\0",
    ),
    Implementation("s2n-tls", soname="libs2n", functions=("s2n_send", "s2n_recv"), contents=rb"s2n_connection\.c"),
    Implementation("BearSSL", soname="libbearssl", functions=("br_ssl_engine_recvapp_buf",)),
    Implementation("Botan", soname=r"libbotan-\d+"),
    Implementation(
        "rustls",
        functions=("rustls_connection_read", "rustls_connection_write"),  # rustls-ffi
        contents=rb"/rustls-\d+\.\d+\.\d+/src/",  # the crate's source files, in panic messages
        version=rb"/rustls-(\d+\.\d+\.\d+)/src/",
    ),
    Implementation(
        "Java",
        soname="libjvm",
        reason="Java's own TLS (JSSE) is compiled while it runs, so it has no functions in a file to attach to",
    ),
    Implementation(_GO),
)

_BY_NAME = {row.name: row for row in IMPLEMENTATIONS}
_SONAMES = [
    (re.compile(rf"(?:{row.soname})(?:-[0-9a-f]{{8}})?\.so(?:[.\d]*)"), row) for row in IMPLEMENTATIONS if row.soname
]
_FUNCTIONS = tuple(dict.fromkeys(name for row in IMPLEMENTATIONS for name in row.functions))
_STRIPPED = "it is linked in, and the names of its functions have been stripped"


@functools.cache
def _modules() -> dict[str, str]:
    """The module that captures an implementation, by the implementation's name."""
    return {name: module.name for module in all_modules().values() for name in module.implementations}


@functools.cache
def _captured_functions() -> tuple[str, ...]:
    rows = (row for row in IMPLEMENTATIONS if row.name in _modules())
    return tuple(dict.fromkeys(name for row in rows for name in row.functions))


@dataclass(frozen=True, slots=True)
class TlsLibrary:
    """A TLS implementation found in a file.

    module: the module that captures it here; None when nothing can, and `reason` tells why.
    found_by: "soname", "functions" (exported or in .symtab) or "contents".
    """

    implementation: str
    module: str | None
    found_by: Literal["soname", "functions", "contents"]
    reason: str | None = None


def identify(elf: ElfFile) -> TlsLibrary | None:
    """The TLS implementation that a file holds by its soname and functions; None for nearly all files.

    Takes about 0.1 ms for an ordinary library. Raises InputError when the file is damaged.
    """
    soname = elf.soname
    if soname is not None:
        for pattern, row in _SONAMES:
            if pattern.fullmatch(soname):
                return _found(row, "soname")
    exported = elf.exported(_FUNCTIONS)
    # Only functions that a module attaches to are worth the search of the table that strip(1) removes.
    functions = exported or elf.symbols(_captured_functions())
    if functions:
        for row in IMPLEMENTATIONS:
            if row.functions and all(name in functions for name in row.functions):
                return _found(row, "functions")
    if _is_go(elf) and _has_go_tls(elf):
        return _found(_BY_NAME[_GO], "contents")
    return None


def embedded(elf: ElfFile) -> tuple[TlsLibrary, ...]:
    """Implementations that are linked into a file without leaving names: found by text in its read-only data.

    Reads it whole: some 5 ms for a megabyte. Raises InputError when the file is damaged.
    """
    found: dict[str, TlsLibrary] = {}
    patterns = [(row, re.compile(row.contents)) for row in IMPLEMENTATIONS if row.contents]
    for chunk in _read_only_data(elf):
        for row, pattern in patterns:
            if row.name not in found and pattern.search(chunk):
                reason = _STRIPPED if row.name in _modules() else _not_yet(row)
                found[row.name] = TlsLibrary(row.name, None, "contents", reason)
    families: dict[str, TlsLibrary] = {}
    for row in IMPLEMENTATIONS:
        if row.name in found:
            families.setdefault(row.family or row.name, found[row.name])
    return tuple(families.values())


def version(elf: ElfFile, implementation: str) -> str | None:
    """The version of an implementation, read from the file that holds it (or see `version_library`)."""
    if implementation == _GO:
        go = read_build_info(elf)
        return go.version.removeprefix("go") if go else None
    text = _BY_NAME[implementation].version
    if text is not None:
        pattern = re.compile(text)
        for chunk in _read_only_data(elf):
            match = pattern.search(chunk)
            if match:
                return match[1].decode()
    return None


def version_library(elf: ElfFile, implementation: str) -> str | None:
    """The soname of the library beside this one that bears the version, as libcrypto does for libssl."""
    prefix = _BY_NAME[implementation].version_in
    return next((soname for soname in elf.needed if prefix and soname.startswith(prefix)), None)


def _found(row: Implementation, found_by: Literal["soname", "functions", "contents"]) -> TlsLibrary:
    module = _modules().get(row.name)
    return TlsLibrary(row.name, module, found_by, None if module else _not_yet(row))


def _not_yet(row: Implementation) -> str:
    return row.reason or f"plainwire cannot capture {row.name} yet"


def _is_go(elf: ElfFile) -> bool:
    return elf.section(".go.buildinfo") is not None


def _has_go_tls(elf: ElfFile) -> bool:
    """Whether the names of functions, which Go programs keep when stripped, show crypto/tls."""
    # With an external linker (-buildmode=pie or c-shared) the table stands among other data.
    for name in (".gopclntab", ".data.rel.ro.gopclntab", ".data.rel.ro"):
        table = elf.section(name)
        if table and any(_GO_TYPE in chunk for chunk in _chunks(elf, table.offset, table.size)):
            return True
    return False


def _read_only_data(elf: ElfFile) -> Iterator[bytes]:
    sections = [section for name in (".rodata", ".data.rel.ro") if (section := elf.section(name))]
    if sections:
        places = [(section.offset, section.size) for section in sections]
    else:
        places = [(part.offset, part.file_size) for part in elf.loaded_segments if not part.writable]
    for offset, size in places:
        yield from _chunks(elf, offset, size)


def _chunks(elf: ElfFile, offset: int, size: int) -> Iterator[bytes]:
    """Pieces that overlap, so that no text is cut in all of them."""
    for start in range(0, min(size, _MAX_DATA), _CHUNK):
        yield elf.read_file(offset + start, min(_CHUNK + _OVERLAP, size - start))
