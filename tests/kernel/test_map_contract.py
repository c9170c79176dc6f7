"""The maps and events of the built objects, for both machines, are those that eCapture documents.

The facts of its page "eBPF Maps and Data Structures" stand here anew. Further maps and fields are welcome, and the
order of fields is free.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from plainwire.decode.btf import Btf, BtfType
from plainwire.decode.maps import MapDeclaration, map_declarations
from plainwire.kernel.object_files import PACKET_MODULE, PACKET_OBJECTS, PROCESS_OBJECT, object_btf, object_path
from plainwire.modules import all_modules

MACHINES = ["x86_64", "aarch64"]
OBJECTS = [PROCESS_OBJECT, *(name for module in all_modules().values() for name in module.objects)]


@dataclass(frozen=True)
class Fact:
    """One map. `structure` is the event that goes through it, or its value; its fields with sizes where they count."""

    module: str
    name: str
    type: str
    key: str
    value: str
    max_entries: int
    structure: str | None = None
    fields: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)


_CALL = ("version", "fd", "bio_type", "buf")
FACTS = [
    Fact(
        "openssl",
        "tls_events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        1024,
        "ssl_data_event_t",
        ("type", "timestamp_ns", "pid", "tid", "data", "data_len", "comm", "fd", "version", "bio_type"),
        {"data": 16384, "comm": 16},
    ),
    Fact(
        "openssl",
        "connect_events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        1024,
        "connect_event_t",
        ("saddr", "daddr", "sport", "dport", "sock", "fd", "family", "is_destroy"),
        {"saddr": 16, "daddr": 16, "sport": 2, "dport": 2},
    ),
    Fact("openssl", "active_ssl_read_args_map", "HASH", "u64", "active_ssl_buf", 1024, "active_ssl_buf", _CALL),
    Fact("openssl", "active_ssl_write_args_map", "HASH", "u64", "active_ssl_buf", 1024, "active_ssl_buf", _CALL),
    Fact("openssl", "tcp_fd_infos", "HASH", "u64", "tcp_fd_info", 10240, "tcp_fd_info", ("sock", "fd")),
    Fact("openssl", "ssl_st_fd", "HASH", "u64", "u64", 10240),
    Fact("openssl", "data_buffer_heap", "PERCPU_ARRAY", "u32", "ssl_data_event_t", 1, "ssl_data_event_t"),
    Fact(
        "openssl",
        "mastersecret_events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        1024,
        "mastersecret_t",
        (
            "version",
            "client_random",
            "master_key",
            "cipher_id",
            "early_secret",
            "handshake_secret",
            "handshake_traffic_hash",
            "client_app_traffic_secret",
            "server_app_traffic_secret",
            "exporter_master_secret",
        ),
        {
            "client_random": 32,
            "master_key": 48,
            "early_secret": 64,
            "handshake_secret": 64,
            "handshake_traffic_hash": 64,
            "client_app_traffic_secret": 64,
            "server_app_traffic_secret": 64,
            "exporter_master_secret": 64,
        },
    ),
    Fact("openssl", "bpf_context", "LRU_HASH", "u64", "mastersecret_t", 2048, "mastersecret_t"),
    Fact("openssl", "bpf_context_gen", "ARRAY", "u32", "mastersecret_t", 1, "mastersecret_t"),
    Fact(
        "gotls",
        "events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        1024,
        "go_tls_event",
        ("ts_ns", "pid", "tid", "data_len", "event_type", "comm", "data"),
        {"data": 16384, "comm": 16},
    ),
    Fact(
        "gotls",
        "mastersecret_go_events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        1024,
        "mastersecret_gotls_t",
        ("label", "labellen", "client_random", "client_random_len", "secret_", "secret_len"),
        {"label": 32, "client_random": 64, "secret_": 64},
    ),
    Fact("gotls", "gte_context_gen", "PERCPU_ARRAY", "u32", "go_tls_event", 1, "go_tls_event"),
    Fact(
        "tc",
        "skb_events",
        "PERF_EVENT_ARRAY",
        "u32",
        "u32",
        10240,
        "skb_data_event_t",
        ("ts", "pid", "comm", "len", "ifindex"),
        {"comm": 16},
    ),
    Fact("tc", "skb_data_buffer_heap", "PERCPU_ARRAY", "u32", "skb_data_event_t", 1, "skb_data_event_t"),
    Fact(
        "tc",
        "network_map",
        "LRU_HASH",
        "net_id_t",
        "net_ctx_t",
        10240,
        "net_id_t",
        ("protocol", "src_ip4", "dst_ip4", "src_ip6", "dst_ip6", "src_port", "dst_port"),
        {"src_ip4": 4, "src_ip6": 16},
    ),
    Fact("tc", "network_map", "LRU_HASH", "net_id_t", "net_ctx_t", 10240, "net_ctx_t", ("pid", "uid", "comm")),
]
ENUMS = {
    "openssl": {"ssl_data_event_type": {"kSSLRead": 0, "kSSLWrite": 1}},
    "gotls": {"gotls_event_type": {"GOTLS_EVENT_TYPE_WRITE": 0, "GOTLS_EVENT_TYPE_READ": 1}},
}
PAYLOADS = {"ssl_data_event_t": "data", "go_tls_event": "data"}
PACKED = {"connect_event_t"}


def maps_of(module: str, machine: str) -> dict[str, tuple[MapDeclaration, Btf]]:
    found = {}
    for name in PACKET_OBJECTS if module == PACKET_MODULE else all_modules()[module].objects:
        btf = Btf(object_btf(object_path(name, machine)))
        found.update({declaration.name: (declaration, btf) for declaration in map_declarations(btf)})
    return found


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact.module}.{fact.name}")
def test_map(fact: Fact, machine: str) -> None:
    declaration, btf = maps_of(fact.module, machine)[fact.name]
    told = (declaration.type, declaration.key, declaration.value, declaration.max_entries)
    assert told == (fact.type, fact.key, fact.value, fact.max_entries)
    if fact.structure is None:
        return
    structure = btf.struct(fact.structure)
    assert structure is not None
    members = {member.name: btf.size_of(member.type_id) for member in structure.members}
    assert set(fact.fields) <= set(members)
    assert {name: members[name] for name in fact.sizes} == fact.sizes
    if fact.structure in PAYLOADS:
        assert structure.members[-1].name == PAYLOADS[fact.structure]
    if fact.structure in PACKED:
        assert structure.size == sum(members.values())


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ENUMS)
def test_enum(name: str, machine: str) -> None:
    btf = Btf(object_btf(object_path(name, machine)))
    assert {enum: btf.enum(enum) for enum in ENUMS[name]} == ENUMS[name]


def events_of(btf: Btf) -> list[BtfType]:
    """Structures that begin with the kind of an event."""
    return [entry for entry in btf.types if entry.members and entry.members[0].name == "kind"]


@pytest.mark.parametrize("name", [*OBJECTS, *PACKET_OBJECTS])
def test_both_machines_lay_events_out_alike(name: str) -> None:
    """So that a recording made on one is read on the other by the same code."""
    first, second = (Btf(object_btf(object_path(name, machine))) for machine in MACHINES)
    layouts = [
        {entry.name: [(member.name, member.bit_offset) for member in entry.members] for entry in events_of(btf)}
        for btf in (first, second)
    ]
    assert layouts[0]
    assert layouts[0] == layouts[1]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_event_begins_with_kind_and_time(machine: str) -> None:
    for name in OBJECTS:
        for entry in events_of(Btf(object_btf(object_path(name, machine)))):
            offsets = {member.name: member.bit_offset // 8 for member in entry.members}
            time = "ts_ns" if entry.name == "go_tls_event" else "timestamp_ns"
            assert (offsets["kind"], offsets[time]) == (0, 8), entry.name
