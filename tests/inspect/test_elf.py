"""ElfFile against pyelftools, on the files of this machine, and against damaged files."""

from __future__ import annotations

import contextlib
import os
import resource
import struct
import subprocess
import time
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection, SymbolTableSection
from hypothesis import given, settings
from hypothesis import strategies as st

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.elf_structures import DT_GNU_HASH, PT_DYNAMIC
from plainwire.inspect.elf_symbols import Symbol
from plainwire.inspect.tls_library import identify
from tests.support.compiled import compile_library

MACHINES = {"EM_X86_64": "x86_64", "EM_386": "i386", "EM_AARCH64": "aarch64"}


def _elf_files(folder: str, count: int) -> list[Path]:
    """Up to `count` ELF files of a folder, spread over it, the same at each run."""
    found = []
    for path in sorted(Path(folder).iterdir()):
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found[:: max(1, len(found) // count)]


SAMPLE = _elf_files("/usr/lib/x86_64-linux-gnu", 60) + _elf_files("/usr/bin", 40) if Path("/usr/bin").is_dir() else []


def _oracle_build_id(oracle: ELFFile) -> str | None:
    for section in oracle.iter_sections():
        if isinstance(section, NoteSection):
            for note in section.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return None


def _oracle_functions(oracle: ELFFile) -> set[Symbol]:
    return {
        Symbol(symbol.name, symbol["st_value"], symbol["st_size"])
        for section in oracle.iter_sections()
        if isinstance(section, SymbolTableSection)
        for symbol in section.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF" and symbol.name
    }


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_agrees_with_pyelftools(path: Path) -> None:
    with path.open("rb") as file, ElfFile(path) as elf:
        oracle = ELFFile(file)
        assert elf.bits == oracle.elfclass
        assert elf.machine == MACHINES[oracle["e_machine"]]
        assert elf.build_id == _oracle_build_id(oracle)
        assert [section.name for section in elf.sections] == [section.name for section in oracle.iter_sections()]
        assert [
            (s.offset, s.address, s.file_size, s.memory_size) for s in elf.segments
        ] == [(s["p_offset"], s["p_vaddr"], s["p_filesz"], s["p_memsz"]) for s in oracle.iter_segments()]  # fmt: skip
        dynamic = next((s for s in oracle.iter_segments() if isinstance(s, DynamicSegment)), None)
        tags = list(dynamic.iter_tags()) if dynamic else []
        assert elf.needed == tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
        assert elf.soname == next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), None)
        if path.stat().st_size < 1_000_000:  # the oracle takes seconds for more
            expected = _oracle_functions(oracle)
            found = set(elf.all_symbols())
            assert found == expected
            names = sorted({symbol.name for symbol in expected})[::7]
            assert set(elf.symbols([*names, "no_such_function"])) == set(names)
            assert set(elf.symbols(names).values()) <= expected
        for segment in elf.executable_segments:
            address = segment.address + segment.file_size // 2
            assert elf.address(elf.file_offset(address)) == address
            assert elf.file_offset(address) == next(iter(oracle.address_offsets(address)))


WANTED = ["SSL_read", "SSL_write", "SSL_free", "SSL_is_data", "SSL_absent", "read"]


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_finds_exported_and_local_functions_and_nothing_else(tmp_path: Path, style: str) -> None:
    with ElfFile(compile_library(tmp_path, f"-Wl,--hash-style={style}")) as elf:
        assert set(elf.exported(WANTED)) == {"SSL_read"}
        assert set(elf.symbols(WANTED)) == {"SSL_read", "SSL_write", "SSL_free"}
        assert elf.soname == "libsmall.so.4"
        assert elf.needed == ("libc.so.6",)


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_works_without_section_headers(tmp_path: Path, style: str) -> None:
    path = compile_library(tmp_path, f"-Wl,--hash-style={style}")
    with ElfFile(path) as elf:
        whole = elf.exported(WANTED), elf.soname, elf.needed, elf.build_id
        exported = {symbol for symbol in elf.all_symbols() if symbol.name in ("SSL_read", "use")}
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    path.write_bytes(data)
    with ElfFile(path) as elf:
        assert elf.sections == ()
        assert (elf.exported(WANTED), elf.soname, elf.needed, elf.build_id) == whole
        assert {symbol for symbol in elf.all_symbols() if symbol.name in ("SSL_read", "use")} == exported


def test_reads_code_by_address_and_by_offset(tmp_path: Path) -> None:
    path = compile_library(tmp_path)
    with ElfFile(path) as elf:
        symbol = elf.symbols(["SSL_write"])["SSL_write"]
        offset = elf.file_offset(symbol.address)
        code = elf.read(symbol.address, symbol.size)
        assert code == path.read_bytes()[offset : offset + symbol.size]
        assert elf.address(offset) == symbol.address
        assert elf.section_bytes(".bss") == b""
        assert elf.section_bytes(".absent") is None
        with pytest.raises(InputError, match="no loaded segment holds address"):
            elf.file_offset(0xDEAD0000)


def test_reads_32_bit_files(tmp_path: Path) -> None:
    path = tmp_path / "small32.so"
    command = ["cc", "-m32", "-shared", "-nostdlib", "-fPIC", "-x", "c", "-", "-o", str(path)]
    built = subprocess.run(command, input=b"int SSL_read(void) { return 1; }", check=False, capture_output=True)
    if built.returncode:
        pytest.skip("this compiler makes no 32-bit code")
    with ElfFile(path) as elf, path.open("rb") as file:
        assert (elf.bits, elf.machine) == (32, "i386")
        assert set(elf.all_symbols()) == _oracle_functions(ELFFile(file))
        assert set(elf.exported(["SSL_read"])) == {"SSL_read"}


def test_a_descriptor_stays_the_callers(tmp_path: Path) -> None:
    with compile_library(tmp_path).open("rb") as file:
        with ElfFile(file.fileno(), name="given") as elf:
            assert elf.name == "given"
            assert elf.soname == "libsmall.so.4"
        assert file.read(4) == b"\x7fELF"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not an ELF file"),
        (b"#!/bin/sh\n", "not an ELF file"),
        (b"\x7fELF", "not a valid ELF file"),
        (b"\x7fELF\x02\x01\x01" + bytes(20), "truncated"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"{path}: {problem}"):
        ElfFile(path)


def test_says_why_it_cannot_open(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        ElfFile(tmp_path / "absent")
    with pytest.raises(InputError, match="not a regular file"):
        ElfFile(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="not a regular file"):
        ElfFile(tmp_path / "fifo")


def test_a_file_that_shrinks_is_an_input_error(tmp_path: Path) -> None:
    path = compile_library(tmp_path)
    with ElfFile(path) as elf:
        os.truncate(path, 100)
        with pytest.raises(InputError, match="shrank"):
            list(elf.sections)


def section_header_at(path: Path, name: str) -> int:
    """File offset of the header of a section of a 64-bit file."""
    with path.open("rb") as file:
        oracle = ELFFile(file)
        return int(oracle["e_shoff"] + oracle.get_section_index(name) * oracle["e_shentsize"])


@pytest.mark.parametrize("section", [".strtab", ".symtab", ".shstrtab", ".dynstr"])
def test_sparse_files_cost_no_time_and_no_memory(tmp_path: Path, section: str) -> None:
    """A file of 100 GB that takes no room on the disk, and claims that a table fills it."""
    path = compile_library(tmp_path)
    header = section_header_at(path, section)
    with path.open("r+b") as file:
        file.truncate(100 << 30)
        file.seek(header + 0x20)  # sh_size
        file.write(struct.pack("<Q", 90 << 30))
    start = time.monotonic()
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, limit[1]))
    try:
        with ElfFile(path) as elf:
            read_everything(elf)
            identify_quietly(elf)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert time.monotonic() - start < 2


def identify_quietly(elf: ElfFile) -> None:
    with contextlib.suppress(InputError):
        identify(elf)


def test_a_name_repeated_for_ever_costs_no_time(tmp_path: Path) -> None:
    path = compile_library(tmp_path)
    header = section_header_at(path, ".strtab")
    data = path.read_bytes()
    names = b"SSL_" * (1 << 22)
    path.write_bytes(data + names)
    with path.open("r+b") as file:
        file.seek(header + 0x18)  # sh_offset, sh_size
        file.write(struct.pack("<QQ", len(data), len(names)))
    start = time.monotonic()
    with ElfFile(path) as elf, pytest.raises(InputError, match="its symbols repeat"):
        elf.symbols(["SSL_write", "SSL_free"])
    assert time.monotonic() - start < 2


def test_a_hash_chain_without_end(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "-Wl,--hash-style=gnu")
    data = bytearray(path.read_bytes())
    with ElfFile(path) as elf:
        last = elf.loaded_segments[-1]
        index = elf.segments.index(last)
        dynamic = next(segment for segment in elf.segments if segment.type == PT_DYNAMIC)
    # The last segment grows to the end of the file, where a table stands whose filter lets all names pass, and whose
    # chain has no value with the bit that ends one.
    (headers_at,) = struct.unpack_from("<Q", data, 0x20)
    table_at = len(data)
    data += struct.pack("<4IQI", 1, 1, 1, 6, (1 << 64) - 1, 1) + bytes(1 << 20)
    struct.pack_into("<QQ", data, headers_at + index * 56 + 0x20, *[len(data) - last.offset] * 2)
    tag_at = data.index(struct.pack("<Q", DT_GNU_HASH), dynamic.offset)
    struct.pack_into("<Q", data, tag_at + 8, table_at - last.offset + last.address)
    path.write_bytes(data)
    with ElfFile(path) as elf:
        with pytest.raises(InputError, match="chain without end"):
            elf.exported(["SSL_read"])
        with pytest.raises(InputError, match="chain without end"):
            list(elf.all_symbols())


def read_everything(elf: ElfFile) -> None:
    """Calls all that ElfFile offers; each part may fail in its own right."""
    for part in (
        lambda: (elf.soname, elf.interpreter),
        lambda: elf.needed,
        lambda: elf.build_id,
        lambda: elf.sections,
        lambda: elf.section_bytes(".text"),
        lambda: elf.symbols(WANTED),
        lambda: list(elf.all_symbols()),
        lambda: elf.read(elf.entry, 16),
        lambda: elf.address(0x1000),
    ):
        try:
            part()
        except InputError as error:
            assert "\n" not in str(error)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("elf"), "-Wl,--hash-style=both")


@settings(max_examples=400, deadline=2000)
@given(data=st.data())
def test_damaged_files_give_an_answer_or_an_input_error(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    damaged = bytearray(small.read_bytes())
    # The headers, the dynamic section and the hash tables are where a wrong number leads astray.
    places = st.one_of(st.integers(0, 0x40), st.integers(0x40, 0x400), st.integers(0, len(damaged) - 1))
    interesting = st.sampled_from([b"\0", b"\xff", b"\x7f", b"\xff" * 8, b"\0" * 8, b"\x01\0\0\0", b"\xff\xff\xff\x7f"])
    for at, value in data.draw(st.lists(st.tuples(places, st.one_of(interesting, st.binary(max_size=8))), max_size=8)):
        damaged[at : at + len(value)] = value
    size = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(damaged[:size])
    try:
        elf = ElfFile(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    with elf:
        read_everything(elf)


@given(data=st.binary(max_size=300))
def test_any_bytes_after_the_magic(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.so"
    path.write_bytes(b"\x7fELF" + data)
    try:
        elf = ElfFile(path)
    except InputError:
        return
    with elf:
        read_everything(elf)
