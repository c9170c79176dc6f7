"""The function tables of real Go programs of all formats, compared with what Go's own tools read."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_pclntab import Pclntab
from tests.support import go

READ = "crypto/tls.(*Conn).Read"
NAMES = (READ, "crypto/tls.(*Conn).writeRecordLocked", "crypto/tls.(*Config).writeKeyLog", "main.main", "runtime.main")
STRIPPED = ("-ldflags=-s -w", "-trimpath")
# Go versions with the flags and variables of a build.
BUILDS: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
    *((version, (), {}) for version in go.VERSIONS),
    ("1.27.3", ("-ldflags=-linkmode=external",), {"CGO_ENABLED": "1"}),
    ("1.27.3", ("-buildmode=pie",), {}),
    ("1.15", ("-buildmode=pie",), {}),
    ("1.27.3", (), {"GOARCH": "arm64"}),
    ("1.15", (), {"GOARCH": "arm64"}),
]
STRIPPED_BUILDS: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
    ("1.15", STRIPPED, {}),
    ("1.27.3", STRIPPED, {}),
    ("1.27.3", (*STRIPPED, "-buildmode=pie"), {}),
    ("1.27.3", ("-ldflags=-s -w -linkmode=external", "-buildmode=pie"), {"CGO_ENABLED": "1"}),
    ("1.15", ("-ldflags=-s -w -linkmode=external", "-buildmode=pie"), {"CGO_ENABLED": "1"}),
]


def described(one: tuple[str, tuple[str, ...], dict[str, str]]) -> str:
    version, flags, environment = one
    return " ".join([version, *flags, *(f"{name}={value}" for name, value in environment.items())])


def found(path: Path, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    with ElfFile(path) as elf:
        table = Pclntab.find(elf)
        assert table is not None
        return {name: function.address for name, function in table.functions(names).items()}


@pytest.mark.parametrize("one", BUILDS, ids=described)
def test_addresses_are_those_of_nm(one: tuple[str, tuple[str, ...], dict[str, str]]) -> None:
    version, flags, environment = one
    path = go.build(version, "client", *flags, **environment)
    expected = {}
    for line in go.tool(version, "nm", path).splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[2] in NAMES:
            expected[words[2]] = int(words[0], 16)
    assert set(expected) == set(NAMES)
    assert found(path) == expected


@pytest.mark.parametrize("one", STRIPPED_BUILDS, ids=described)
def test_a_stripped_program_tells_as_much(one: tuple[str, tuple[str, ...], dict[str, str]]) -> None:
    """A function's code in the stripped file is that of the unstripped one, whose symbols tell where it stands."""
    version, flags, environment = one
    full = tuple(flag.replace("-s -w", "") for flag in flags if flag != "-ldflags=-s -w")
    stripped = go.build(version, "client", *flags, **environment)
    unstripped = go.build(version, "client", *full, **environment)
    with ElfFile(stripped) as one_elf, ElfFile(unstripped) as other_elf:
        assert one_elf.section(".symtab") is None
        table, other = Pclntab.find(one_elf), Pclntab.find(other_elf)
        assert table is not None and other is not None
        here, there = table.functions(NAMES), other.functions(NAMES)
        assert set(here) == set(NAMES)
        symbols = other_elf.symbols(NAMES)
        for name in NAMES:
            assert there[name].address == symbols[name].address
            assert here[name].size == there[name].size
            start = one_elf.read(here[name].address, 8)
            assert start == other_elf.read(there[name].address, 8)


@pytest.mark.parametrize(
    ("version", "flags", "package"),
    [
        ("1.15", STRIPPED, None),
        ("1.19", STRIPPED, None),
        ("1.21.13", (*STRIPPED, "-buildmode=pie"), None),
        ("1.27.3", STRIPPED, None),
        ("1.16", (), "esbuild-linux-64@0.12.0"),
        ("1.17", (), "esbuild-linux-64@0.13.15"),
    ],
)
def test_every_function_is_found_where_gosym_finds_it(
    version: str, flags: tuple[str, ...], package: str | None, tmp_path: Path
) -> None:
    """esbuild's binaries stand for the toolchains of Go 1.16 and 1.17, which no registry serves."""
    oracle = go.build(go.NEWEST, "oracle")
    path = go.npm_binary(package, "package/bin/esbuild") if package else go.build(version, "client", *flags)
    with ElfFile(path) as elf:
        table = Pclntab.find(elf)
        assert table is not None
        section = elf.section(".gopclntab") or elf.section(".data.rel.ro.gopclntab")
        assert section is not None
        data = tmp_path / "pclntab"
        data.write_bytes(elf.read_file(section.offset, section.size))
        text = table.text if table.format >= (1, 18) else 0
        lines = subprocess.run([oracle, data, f"{text:x}"], check=True, capture_output=True, text=True).stdout
        expected = {}
        for line in lines.splitlines():
            start, end, name = line.split(" ", 2)
            expected.setdefault(name, (int(start, 16), int(end, 16)))
        assert READ in expected
        sample = [*list(expected)[::97], READ]
        functions = table.functions(sample)
        got = {name: (one.address, one.address + one.size) for name, one in functions.items()}
        assert got == {name: expected[name] for name in sample}


def test_cgo_puts_c_code_before_go_code_in_the_text_section() -> None:
    """So the address of .text is not where the table counts from: 1.26 and later tell it in the module data alone."""
    path = go.build("1.27.3", "client", "-ldflags=-linkmode=external", CGO_ENABLED="1")
    with ElfFile(path) as elf:
        table = Pclntab.find(elf)
        section = elf.section(".text")
        assert table is not None and section is not None
        with path.open("rb") as file:
            symbols = ELFFile(file).get_section_by_name(".symtab")
            (start,) = (one["st_value"] for one in symbols.get_symbol_by_name("runtime.text"))
        assert table.text == start > section.address


def test_a_program_without_section_headers_is_read_too(tmp_path: Path) -> None:
    path = go.build(go.NEWEST, "client", *STRIPPED)
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    headless = tmp_path / "headless"
    headless.write_bytes(data)
    assert found(headless) == found(path)


def test_a_name_that_does_not_exist_is_not_found() -> None:
    path = go.build(go.NEWEST, "client")
    assert found(path, ("crypto/tls.(*Conn).Rea", "Read", "(*Conn).Read", "crypto/tls.(*Conn).Nothing")) == {}


def test_a_program_of_another_compiler_has_no_table() -> None:
    with ElfFile("/bin/sh") as elf:
        assert Pclntab.find(elf) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_table_gives_an_error_or_an_answer(data: st.DataObject) -> None:
    path = go.build(go.NEWEST, "client", *STRIPPED)
    with ElfFile(path) as elf:
        section = elf.section(".gopclntab")
        assert section is not None
        table = bytearray(elf.read_file(section.offset, section.size))
        at = data.draw(st.integers(0, 0x60))
        table[at : at + 8] = data.draw(st.binary(min_size=8, max_size=8))
        cut = data.draw(st.integers(0, len(table)))
        with contextlib.suppress(InputError):
            Pclntab(elf, section.address, bytes(table[:cut])).functions([READ])
