"""Which TLS implementation is in a file: real libraries where this machine has them, small ones made for each row."""

from __future__ import annotations

import ctypes.util
import shutil
import time
from pathlib import Path

import pytest

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.loader_cache import cached_libraries
from plainwire.inspect.shell_program import SHELLS
from plainwire.inspect.tls_library import IMPLEMENTATIONS, embedded, identify, version, version_library
from plainwire.modules import all_modules
from tests.support.compiled import compile_library, functions


def system_library(soname: str) -> Path:
    found = [library for library in cached_libraries(lambda name: name == soname) if library.machine == "x86_64"]
    if not found:
        pytest.skip(f"{soname} is not installed")
    return Path(found[0].path)


@pytest.mark.parametrize(
    ("soname", "implementation", "module"),
    [
        ("libssl.so.3", "OpenSSL", "openssl"),
        ("libssl.so.1.1", "OpenSSL", "openssl"),
        ("libgnutls.so.30", "GnuTLS", None),
        ("libgnutls-openssl.so.27", "GnuTLS", None),
        ("libssl3.so", "NSS", None),
        ("libmbedtls.so.14", "mbed TLS", None),
        ("libwolfssl.so.35", "wolfSSL", None),
    ],
)
def test_system_libraries(soname: str, implementation: str, module: str | None) -> None:
    with ElfFile(system_library(soname)) as elf:
        found = identify(elf)
        assert found is not None
        assert (found.implementation, found.module) == (implementation, module)
        assert (found.reason is None) == (module is not None)


@pytest.mark.parametrize("soname", ["libcrypto.so.3", "libc.so.6", "libz.so.1", "libnspr4.so", "libnss_files.so.2"])
def test_others_are_no_tls_libraries(soname: str) -> None:
    with ElfFile(system_library(soname)) as elf:
        assert identify(elf) is None
        assert embedded(elf) == ()


def test_version_of_the_systems_openssl() -> None:
    import ssl

    with ElfFile(system_library("libssl.so.3")) as elf:
        beside = version_library(elf, "OpenSSL")
        assert beside == "libcrypto.so.3"
    with ElfFile(system_library(beside)) as elf:
        library = ctypes.CDLL(ctypes.util.find_library("crypto"))
        library.OpenSSL_version.restype = ctypes.c_char_p
        told = library.OpenSSL_version(0).decode()
        assert told.split()[1] == version(elf, "OpenSSL"), ssl.OPENSSL_VERSION


def test_node_has_openssl_in_its_program() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    with ElfFile(Path(node)) as elf:
        found = identify(elf)
        if found is None or found.found_by != "functions":
            pytest.skip("this node is linked to the system's libssl")
        assert (found.implementation, found.module) == ("OpenSSL", "openssl")
        assert version(elf, "OpenSSL") is not None
        assert [library.implementation for library in embedded(elf)] == ["OpenSSL"]


MODULE_OF = {name: module.name for module in all_modules().values() for name in module.implementations}
CAPTURED_BY_FUNCTIONS = [row for row in IMPLEMENTATIONS if row.functions and row.name in MODULE_OF]
BY_FUNCTIONS = [row for row in IMPLEMENTATIONS if row.functions]


@pytest.mark.parametrize("row", BY_FUNCTIONS, ids=lambda row: row.name)
def test_by_exported_functions(tmp_path: Path, row) -> None:  # type: ignore[no-untyped-def]
    with ElfFile(compile_library(tmp_path, source=functions(row.functions))) as elf:
        found = identify(elf)
        assert found is not None
        assert (found.implementation, found.module, found.found_by) == (row.name, MODULE_OF.get(row.name), "functions")
    # One function of several may be a coincidence.
    if len(row.functions) > 1:
        with ElfFile(compile_library(tmp_path, source=functions(row.functions[1:]))) as elf:
            found = identify(elf)
            assert found is None or found.implementation != row.name


@pytest.mark.parametrize("row", CAPTURED_BY_FUNCTIONS, ids=lambda row: row.name)
def test_by_functions_that_are_not_exported_until_stripped(tmp_path: Path, row) -> None:  # type: ignore[no-untyped-def]
    hidden = functions(row.functions, before='__attribute__((visibility("hidden")))')
    with ElfFile(compile_library(tmp_path, source=hidden)) as elf:
        found = identify(elf)
        assert found is not None
        assert (found.implementation, found.module) == (row.name, MODULE_OF[row.name])
    with ElfFile(compile_library(tmp_path, "-s", source=hidden)) as elf:
        assert identify(elf) is None


@pytest.mark.parametrize(
    ("soname", "implementation"),
    [
        ("libgnutls.so.30", "GnuTLS"),
        ("libgnutls-1a2b3c4d.so.30.34.3", "GnuTLS"),
        ("libgnutls-dane.so.0", None),
        ("libssl3.so", "NSS"),
        ("libmbedtls-783f9d33.so.14", "mbed TLS"),
        ("libmbedcrypto.so.7", None),
        ("libwolfssl.so.42", "wolfSSL"),
        ("libs2n.so.1", "s2n-tls"),
        ("libbotan-3.so.5", "Botan"),
        ("libjvm.so", "Java"),
        ("libssl.so.3", None),  # by this name alone there is nothing to attach to
    ],
)
def test_by_soname(tmp_path: Path, soname: str, implementation: str | None) -> None:
    with ElfFile(compile_library(tmp_path, source="int nothing;", soname=soname)) as elf:
        found = identify(elf)
        assert (found.implementation if found else None) == implementation


def test_modules_call_the_implementations_by_the_same_names() -> None:
    assert MODULE_OF.keys() <= {row.name for row in IMPLEMENTATIONS} | {shell.name for shell in SHELLS}


def test_gnutls_in_openssls_clothes(tmp_path: Path) -> None:
    source = functions(["SSL_read", "SSL_write"])
    with ElfFile(compile_library(tmp_path, source=source, soname="libgnutls-openssl.so.27")) as elf:
        found = identify(elf)
        assert found is not None
        assert (found.implementation, found.module) == ("GnuTLS", None)


@pytest.mark.parametrize(
    ("texts", "implementations"),
    [
        (["../ssl/ssl_lib.c"], ["OpenSSL"]),
        (["third_party/boringssl/src/ssl/ssl_lib.cc"], ["BoringSSL"]),
        (["/build/aws-lc/ssl/ssl_lib.cc", "AWS-LC 1.49.0"], ["AWS-LC"]),
        (["LibreSSL 3.8.2", "ssl/ssl_lib.c"], ["LibreSSL"]),
        (["/root/.cargo/registry/src/index/rustls-0.23.40/src/client/hs.rs"], ["rustls"]),
        (["/x/rustls-0.23.40/src/a.rs", "ssl/ssl_lib.c"], ["OpenSSL", "rustls"]),
        (["/crt/s2n/tls/s2n_connection.c"], ["s2n-tls"]),
        (["an ordinary text about ssl_lib"], []),
    ],
)
@pytest.mark.parametrize("headers", [True, False], ids=["sections", "no sections"])
def test_by_contents(tmp_path: Path, texts: list[str], implementations: list[str], headers: bool) -> None:
    source = "\n".join(f'const char text{index}[] = "{text}";' for index, text in enumerate(texts))
    path = compile_library(tmp_path, "-s", source=source)
    if not headers:
        data = bytearray(path.read_bytes())
        data[0x28:0x30], data[0x3C:0x40] = bytes(8), bytes(4)  # e_shoff, e_shnum, e_shstrndx
        path.write_bytes(data)
    with ElfFile(path) as elf:
        assert identify(elf) is None
        found = embedded(elf)
        assert [library.implementation for library in found] == implementations
        assert all(library.module is None and library.reason for library in found)
        if implementations == ["rustls"]:
            assert version(elf, "rustls") == "0.23.40"
        if implementations == ["AWS-LC"]:
            assert version(elf, "AWS-LC") == "1.49.0"


@pytest.mark.parametrize("section", [".gopclntab", ".data.rel.ro"])
def test_go_programs_with_and_without_tls(tmp_path: Path, section: str) -> None:
    go = r"""
    __attribute__((section(".go.buildinfo"))) const char info[] =
        "\xff Go buildinf:\x08\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08go1.26.3\x05path";
    __attribute__((section("SECTION"))) const char names[] = "fmt.Println\0NAME";
    """.replace("SECTION", section)
    with ElfFile(compile_library(tmp_path, "-s", source=go.replace("NAME", "crypto/tls.(*Conn).Read"))) as elf:
        found = identify(elf)
        assert found is not None
        assert (found.implementation, found.module) == ("Go crypto/tls", MODULE_OF.get("Go crypto/tls"))
        assert version(elf, "Go crypto/tls") == "1.26.3"
    with ElfFile(compile_library(tmp_path, "-s", source=go.replace("NAME", "net/http.Get"))) as elf:
        assert identify(elf) is None


def test_text_across_two_pieces_is_found(tmp_path: Path) -> None:
    source = 'const struct { char before[1048570]; char text[32]; } data = { "x", "../ssl/ssl_lib.c" };'
    with ElfFile(compile_library(tmp_path, source=source)) as elf:
        assert [library.implementation for library in embedded(elf)] == ["OpenSSL"]


def test_a_damaged_library_is_an_input_error(tmp_path: Path) -> None:
    path = compile_library(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError), ElfFile(path) as elf:
        identify(elf)


def test_ordinary_libraries_cost_little() -> None:
    """Every file that every process maps passes through here."""
    path = system_library("libz.so.1")
    best = 1.0
    for _ in range(200):
        start = time.perf_counter()
        with ElfFile(path) as elf:
            identify(elf)
        best = min(best, time.perf_counter() - start)
    assert best < 0.000_3
