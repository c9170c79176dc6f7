"""Samples as the eBPF programs write them, made from the BTF of the built objects."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile

import plainwire
from plainwire.decode.btf import Btf

OBJECTS = Path(plainwire.__path__[0]) / "bpf_objects"


@cache
def object_btf(name: str) -> bytes:
    """The section .BTF of a built object: openssl, processes."""
    with (OBJECTS / f"{name}.x86_64.o").open("rb") as file:
        section = ELFFile(file).get_section_by_name(".BTF")
        assert section is not None
        return bytes(section.data())


@cache
def parsed_btf(name: str) -> Btf:
    """The same, parsed once."""
    return Btf(object_btf(name))


def pack(object_name: str, struct_name: str, **fields: int | bytes) -> bytes:
    """One sample: every field at the offset that BTF tells, 0 where not given, the trailing array at its length."""
    btf = parsed_btf(object_name)
    structure = btf.struct(struct_name)
    assert structure is not None
    sample = bytearray(structure.size)
    end = structure.size
    for member in structure.members:
        value = fields.pop(member.name, None)
        start, size = member.bit_offset // 8, btf.size_of(member.type_id)
        if isinstance(value, bytes):
            assert len(value) <= size
            sample[start : start + len(value)] = value
            if member is structure.members[-1] and member.name in ("data", "text"):
                end = start + len(value)
        elif value is not None:
            sample[start : start + size] = value.to_bytes(size, "little", signed=value < 0)
        elif member is structure.members[-1] and member.name in ("data", "text"):
            end = start
    assert not fields, f"{struct_name} has no {', '.join(fields)}"
    return bytes(sample[:end])


def ssl_data(data: bytes = b"hello", **fields: int | bytes) -> bytes:
    """An ssl_data_event_t of a write by curl, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 1,
        "type": 1,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "library": 7,
        "ssl": 0x7F00_0000_1000,
        "call_length": len(data),
        "fd": 5,
        "version": 0x0303,
        "bio_type": 0x0505,
        "data_len": len(data),
        "comm": b"curl",
        "thread_comm": b"worker",
        "data": data,
    }
    return pack("openssl", "ssl_data_event_t", **(values | fields))


def connection(**fields: int | bytes) -> bytes:
    """A connection_t: 10.0.0.1:40000 to 10.0.0.2:443 by SSL_set_fd, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "sock": 0xFFFF_8880_0000_1000,
        "saddr": bytes([10, 0, 0, 1]),
        "daddr": bytes([10, 0, 0, 2]),
        "sport": 40000,
        "dport": 443,
        "family": 2,
        "way": 1,
        "net_namespace": 4026531840,
    }
    return pack("openssl", "connection_t", **(values | fields))


def connect_event(**fields: int | bytes) -> bytes:
    """A connect_event_t: the same connection, opened at 4 s by a thread of curl, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 6,
        "direction": 1,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "fd": 5,
        "opened_ns": 4_000_000_000,
        "saddr": bytes([10, 0, 0, 1]),
        "daddr": bytes([10, 0, 0, 2]),
        "sock": 0xFFFF_8880_0000_1000,
        "sport": 40000,
        "dport": 443,
        "family": 2,
        "net_namespace": 4026531840,
        "comm": b"curl",
        "thread_comm": b"worker",
    }
    return pack("openssl", "connect_event_t", **(values | fields))


def keylog_line(**fields: int | bytes) -> bytes:
    """A keylog_event_t of a TLS 1.3 connection of curl, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 8,
        "library": 7,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "random_len": 32,
        "secret_len": 48,
        "comm": b"curl",
        "label": b"EXPORTER_SECRET",
        "client_random": bytes(range(32)),
        "secret": bytes(range(64)),
    }
    return pack("secrets", "keylog_event_t", **(values | fields))


def master_secret(**fields: int | bytes) -> bytes:
    """A mastersecret_t of a TLS 1.2 connection of curl, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 7,
        "library": 7,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "version": 0x0303,
        "cipher_id": 0xC02F,
        "comm": b"curl",
        "client_random": bytes(range(32)),
        "master_key": bytes(range(48)),
        "exporter_master_secret": bytes(64),
    }
    return pack("secrets", "mastersecret_t", **(values | fields))
