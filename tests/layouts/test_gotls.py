"""What is learned from Go programs' machine code, compared with Go's disassembler, symbols and DWARF."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_pclntab import Pclntab
from plainwire.layouts.gotls import CLOSE, READ, WRITE_KEY_LOG, WRITE_RECORD, GoTls, is_go_program, read_go_tls
from tests.support import go

ARM64 = {"GOARCH": "arm64"}
BUILDS: list[tuple[str, dict[str, str]]] = [
    *((version, {}) for version in go.VERSIONS),
    ("1.15", ARM64),
    ("1.27.3", ARM64),
]
IDS = [" ".join([version, *environment.values()]) for version, environment in BUILDS]
# What reads the stack's limit from runtime.g, jumps when the stack is too small; the next instruction is the first of
# the function's own: as Go's disassembler prints it.
STACK_CHECK_JUMPS = ("JBE", "BLS")


def learned(path: Path) -> GoTls:
    with ElfFile(path) as elf:
        return read_go_tls(elf)


def disassembled(version: str, path: Path, function: str) -> list[tuple[int, str]]:
    """Address and instruction of each line that `go tool objdump` prints."""
    text = go.tool(version, "objdump", "-s", "^" + re.escape(function) + "$", path)
    found = []
    for line in text.splitlines():
        fields = line.split()  # file:line, address, code, instruction
        if len(fields) > 3 and fields[1].startswith("0x"):
            found.append((int(fields[1], 16), " ".join(fields[3:])))
    assert found
    return found


@pytest.mark.parametrize(("version", "environment"), BUILDS, ids=IDS)
def test_return_instructions_are_those_that_gos_disassembler_sees(version: str, environment: dict[str, str]) -> None:
    path = go.build(version, "client", **environment)
    expected = [at for at, text in disassembled(version, path, READ) if text == "RET" or text.startswith("RET ")]
    assert len(expected) > 2
    assert list(learned(path).returns[READ]) == expected


@pytest.mark.parametrize(("version", "environment"), BUILDS, ids=IDS)
def test_probes_stand_right_after_the_stack_check(version: str, environment: dict[str, str]) -> None:
    path = go.build(version, "client", **environment)
    tls = learned(path)
    for function in (READ, WRITE_RECORD, WRITE_KEY_LOG, CLOSE):
        instructions = disassembled(version, path, function)
        jump = next(i for i, (_, text) in enumerate(instructions) if text.startswith(STACK_CHECK_JUMPS))
        assert jump < 5
        assert tls.bodies[function] == instructions[jump + 1][0]


@pytest.mark.parametrize(
    ("version", "environment", "abi"),
    [
        ("1.15", {}, "stack"),
        ("1.19", {}, "register"),
        ("1.27.3", {}, "register"),
        ("1.15", ARM64, "stack"),
        ("1.27.3", ARM64, "register"),
    ],
)
def test_calling_convention(version: str, environment: dict[str, str], abi: str) -> None:
    assert learned(go.build(version, "client", **environment)).abi == abi


@pytest.mark.parametrize(("version", "abi"), [("0.12.0", "stack"), ("0.13.15", "register")])
def test_calling_convention_of_the_two_versions_that_share_a_table_format(version: str, abi: str) -> None:
    """esbuild 0.12.0 was made by Go 1.16, 0.13.15 by Go 1.17."""
    tls = learned(go.npm_binary(f"esbuild-linux-64@{version}", "package/bin/esbuild"))
    assert tls.format == (1, 16)
    assert tls.abi == abi


def members(path: Path, structure: str) -> dict[str, int]:
    """Offsets of a structure's members, from DWARF."""
    with path.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            for entry in unit.get_top_DIE().iter_children():
                if entry.tag == "DW_TAG_structure_type" and entry.attributes["DW_AT_name"].value == structure.encode():
                    return {
                        one.attributes["DW_AT_name"].value.decode(): offset_of(one) for one in entry.iter_children()
                    }
    raise AssertionError(f"no {structure} in DWARF")


def offset_of(member: DIE) -> int:
    location = member.attributes["DW_AT_data_member_location"].value
    if isinstance(location, int):
        return location
    assert location[0] == 0x23  # DW_OP_plus_uconst
    value = shift = 0
    for byte in location[1:]:
        value |= (byte & 0x7F) << shift
        shift += 7
    return value


@pytest.mark.parametrize(("version", "environment"), BUILDS, ids=IDS)
def test_offsets_are_those_of_dwarf(version: str, environment: dict[str, str]) -> None:
    """The learned one, and the few that bpf/gotls.bpf.c takes as given since they never changed."""
    path = go.build(version, "client", **environment)
    connection = members(path, "crypto/tls.Conn")
    assert learned(path).version_offset == connection["vers"]
    assert connection["conn"] == 0
    assert members(path, "net.TCPConn")["conn"] == 0
    assert members(path, "net.conn")["fd"] == 0
    assert members(path, "net.netFD")["pfd"] == 0
    assert members(path, "internal/poll.FD")["Sysfd"] == 16
    assert members(path, "runtime.g")["stack"] == 0
    assert members(path, "runtime.stack") == {"lo": 0, "hi": 8}


@pytest.mark.parametrize("build", [("1.15",), ("1.15", "-buildmode=pie"), ("1.19",), ("1.21.13",)], ids=" ".join)
def test_itabs_are_those_of_the_symbols(build: tuple[str, ...]) -> None:
    """Go 1.27 makes no symbol for an itab."""
    version, *flags = build
    path = go.build(version, "client", *flags)
    with path.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab")
        expected = {
            one["st_value"]
            for colon in ":."
            for kind in ("TCPConn", "UnixConn")
            for one in symbols.get_symbol_by_name(f"go{colon}itab.*net.{kind},net.Conn") or ()
        }
    assert expected
    assert set(learned(path).socket_itabs) == expected


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("-ldflags=-s -w", "-trimpath"), {}),
        (("-ldflags=-s -w -linkmode=external", "-buildmode=pie"), {"CGO_ENABLED": "1"}),
    ],
    ids=["stripped", "stripped external PIE"],
)
def test_a_stripped_program_has_everything(flags: tuple[str, ...], environment: dict[str, str]) -> None:
    tls = learned(go.build(go.NEWEST, "client", *flags, **environment))
    assert tls.problems == ()
    assert tls.build is not None and tls.build.version == "go1.27.3"
    assert tls.build.settings["GOARCH"] == "amd64"
    assert len(tls.socket_itabs) == 2
    assert tls.parked_reads


def test_the_oldest_tells_its_version_too() -> None:
    build = learned(go.build("1.15", "client", "-ldflags=-s -w", "-trimpath")).build
    assert build is not None and build.version == "go1.15.15"


def test_a_program_without_tls_says_so() -> None:
    with pytest.raises(InputError, match="without crypto/tls"):
        learned(go.build(go.NEWEST, "plain"))


def test_a_program_of_another_compiler_says_so() -> None:
    with ElfFile("/bin/sh") as elf:
        assert not is_go_program(elf)
        with pytest.raises(InputError, match="not a Go program"):
            read_go_tls(elf)


def test_a_32_bit_program_says_so() -> None:
    with pytest.raises(InputError, match="only x86_64 and aarch64"):
        learned(go.build(go.NEWEST, "plain", GOARCH="386"))


def replaced(path: Path, folder: Path, *pairs: tuple[bytes, bytes]) -> Path:
    data = path.read_bytes()
    for old, new in pairs:
        assert old in data
        data = data.replace(old, new)
    changed = folder / "changed"
    changed.write_bytes(data)
    return changed


def test_a_program_with_garbled_names_says_so(tmp_path: Path) -> None:
    path = go.build(go.NEWEST, "client", "-ldflags=-s -w", "-trimpath")
    changed = replaced(path, tmp_path, (b"crypto/tls.", b"KeT3pQz9oVd"), (b"runtime.main\0", b"xUw92mQ.main\0"))
    with pytest.raises(InputError, match="disguised"):
        learned(changed)


def test_a_program_whose_key_log_is_gone_has_no_keys_and_says_so(tmp_path: Path) -> None:
    path = go.build(go.NEWEST, "client", "-ldflags=-s -w", "-trimpath")
    name = b"crypto/tls.(*Config).writeKeyLog\0"
    changed = learned(replaced(path, tmp_path, (name, name.replace(b"write", b"WRITE"))))
    assert WRITE_KEY_LOG not in changed.bodies
    assert any("no keys" in problem for problem in changed.problems)
    assert {READ, WRITE_RECORD} <= changed.bodies.keys()


def test_code_that_is_not_gos_is_refused(tmp_path: Path) -> None:
    """A probe in the middle of an instruction would break the program."""
    path = go.build(go.NEWEST, "client", "-ldflags=-s -w", "-trimpath")
    with ElfFile(path) as elf:
        table = Pclntab.find(elf)
        assert table is not None
        at = elf.file_offset(table.functions([READ])[READ].address)
    data = bytearray(path.read_bytes())
    data[at : at + 16] = b"\x90" * 16
    changed = tmp_path / "changed"
    changed.write_bytes(data)
    with pytest.raises(InputError, match="stack check"):
        learned(changed)
    data[at : at + 16] = path.read_bytes()[at : at + 16]
    data[at + 64 : at + 80] = b"\x06" * 16  # no instruction in 64-bit code
    changed.write_bytes(data)
    with pytest.raises(InputError, match="can't be read"):
        learned(changed)
