"""The BTF reader: compared with what the C compiler says of the same header, with the running kernel, with damage."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.btf import Btf, BtfError, Kind
from plainwire.decode.maps import map_declarations
from tests.support.samples import object_btf, parsed_btf

ABI = Path(__file__).parent.parent.parent / "bpf" / "abi.h"
KERNEL = Path("/sys/kernel/btf/vmlinux")
STRUCTURES = {
    "openssl": ("ssl_data_event_t", "active_ssl_buf", "connection_t", "ssl_key_t"),
    "connections": ("connect_event_t", "open_connection_t", "tcp_fd_info"),
    "processes": ("process_event_t", "exec_event_t", "file_key_t", "library_key_t"),
}


def compiled(folder: Path, statements: str) -> list[str]:
    """The lines that a C program prints which includes abi.h."""
    source = f'#include <stdio.h>\n#include <stddef.h>\n#include <linux/types.h>\n#include "{ABI}"\n'
    source += f"int main(void) {{ {statements} }}"
    subprocess.run(["cc", "-x", "c", "-", "-o", folder / "program"], input=source.encode(), check=True)
    return subprocess.run([folder / "program"], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("object_name", "name"), [(object_name, name) for object_name, names in STRUCTURES.items() for name in names]
)
def test_offsets_and_sizes_are_the_compilers(object_name: str, name: str, tmp_path: Path) -> None:
    btf = parsed_btf(object_name)
    structure = btf.struct(name)
    assert structure is not None
    statements = f'printf("%zu\\n", sizeof(struct {name}));' + "".join(
        f'printf("%zu %zu\\n", offsetof(struct {name}, {member.name}), sizeof(((struct {name} *)0)->{member.name}));'
        for member in structure.members
    )
    told = [f"{member.bit_offset // 8} {btf.size_of(member.type_id)}" for member in structure.members]
    assert compiled(tmp_path, statements) == [str(structure.size), *told]


@pytest.mark.parametrize("name", ["event_kind", "loss_kind", "ssl_data_event_type"])
def test_enums_are_the_compilers(name: str, tmp_path: Path) -> None:
    values = parsed_btf("openssl").enum(name)
    assert values
    told = compiled(tmp_path, "".join(f'printf("%d\\n", {value});' for value in values))
    assert told == [str(number) for number in values.values()]


def test_descriptions() -> None:
    btf = parsed_btf("openssl")
    event = btf.struct("ssl_data_event_t")
    assert event is not None
    told = {member.name: btf.describe(member.type_id) for member in event.members}
    assert {name: told[name] for name in ("kind", "fd", "ssl", "comm", "data", "connection")} == {
        "kind": "u32",
        "fd": "s32",
        "ssl": "u64",
        "comm": "char[16]",
        "data": "u8[16384]",
        "connection": "connection_t",
    }


@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel has no BTF")
def test_the_running_kernel() -> None:
    """All kinds of types occur there."""
    btf = Btf(KERNEL.read_bytes())
    kinds = {entry.kind for entry in btf.types}
    assert {Kind.INT, Kind.PTR, Kind.UNION, Kind.FLOAT, Kind.FUNC_PROTO, Kind.DATASEC, Kind.VOLATILE} <= kinds
    task = btf.struct("task_struct")
    assert task is not None
    members = {member.name: btf.describe(member.type_id) for member in task.members}
    assert members["comm"] == "char[16]"
    assert members["tgid"] == "s32"
    assert members["group_leader"] == "task_struct *"
    values = btf.enum("bpf_map_type")
    assert values
    assert values["BPF_MAP_TYPE_RINGBUF"] == 27


def test_map_types_are_the_kernels() -> None:
    """Numbers and names of plainwire.decode.maps, against the header of libbpf-dev's neighbour linux-libc-dev."""
    from plainwire.decode.maps import MAP_TYPES

    header = Path("/usr/include/linux/bpf.h").read_text().partition("enum bpf_map_type {")[2].partition("};")[0]
    lines = [line.strip().partition(",")[0].partition(" ")[0] for line in header.splitlines()]
    names = [line.removeprefix("BPF_MAP_TYPE_") for line in lines if line.startswith("BPF_MAP_TYPE_")]
    names = [name.removesuffix("_DEPRECATED") for name in names if not name.endswith("CGROUP_STORAGE_DEPRECATED")]
    assert names[:10] == list(MAP_TYPES[:10])
    assert "RINGBUF" in MAP_TYPES
    assert MAP_TYPES.index("RINGBUF") == 27


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "0 bytes is shorter than its header"),
        (b"\x7fELF" + bytes(60), "not BTF of version 1: it begins with 7f454c46"),
        (object_btf("openssl")[:100], "cut short"),
    ],
)
def test_other_bytes_are_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=message):
        Btf(raw)


def use(raw: bytes) -> None:
    """Everything that is done with BTF."""
    btf = Btf(raw)
    map_declarations(btf)
    btf.enum("event_kind")
    for entry in btf.types:
        btf.size_of(entry.id)
        btf.describe(entry.id)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(raw: bytes) -> None:
    for start in (b"", object_btf("openssl")[:24], object_btf("openssl")[:400]):
        with pytest.raises(BtfError):
            use(start + raw)
            raise BtfError("read without an error")


@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=5))
def test_no_damage_crashes_it(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(object_btf("processes"))
    for place, value in changes:
        raw[place % len(raw)] = value
    try:
        use(bytes(raw))
    except BtfError as error:
        assert str(error).isprintable()
