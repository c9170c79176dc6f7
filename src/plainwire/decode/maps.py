"""The maps that an eBPF object declares, read from its BTF: the DATASEC `.maps` as libbpf defines it.

A map is a variable of a structure whose members encode numbers as the length of an array behind a pointer (`__uint`)
and types as the type behind a pointer (`__type`), see <bpf/bpf_helpers.h>.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainwire.decode.btf import Btf, BtfError, Kind

# enum bpf_map_type of <linux/bpf.h>, without BPF_MAP_TYPE_.
MAP_TYPES = (
    "UNSPEC",
    "HASH",
    "ARRAY",
    "PROG_ARRAY",
    "PERF_EVENT_ARRAY",
    "PERCPU_HASH",
    "PERCPU_ARRAY",
    "STACK_TRACE",
    "CGROUP_ARRAY",
    "LRU_HASH",
    "LRU_PERCPU_HASH",
    "LPM_TRIE",
    "ARRAY_OF_MAPS",
    "HASH_OF_MAPS",
    "DEVMAP",
    "SOCKMAP",
    "CPUMAP",
    "XSKMAP",
    "SOCKHASH",
    "CGROUP_STORAGE",
    "REUSEPORT_SOCKARRAY",
    "PERCPU_CGROUP_STORAGE",
    "QUEUE",
    "STACK",
    "SK_STORAGE",
    "DEVMAP_HASH",
    "STRUCT_OPS",
    "RINGBUF",
    "INODE_STORAGE",
    "TASK_STORAGE",
    "BLOOM_FILTER",
    "USER_RINGBUF",
    "CGRP_STORAGE",
    "ARENA",
)


@dataclass(frozen=True, slots=True)
class MapDeclaration:
    """A map as the object on disk declares it. `key` and `value` are type names (u32, ssl_data_event_t); sizes are in
    bytes; `value_type_id` is 0 where the declaration gives a size only."""

    name: str
    type: str
    key: str
    key_size: int
    value: str
    value_size: int
    max_entries: int
    flags: int
    purpose: str
    key_type_id: int
    value_type_id: int


def map_declarations(btf: Btf) -> list[MapDeclaration]:
    """Every map of an object, in the order of its source. Raises BtfError where the declaration can't be read."""
    section = btf.find(Kind.DATASEC, ".maps")
    if section is None:
        return []
    purposes = {
        tag.type_id: tag.name.removeprefix("purpose:").strip()
        for tag in btf.types
        if tag.kind is Kind.DECL_TAG and tag.component == -1 and tag.name.startswith("purpose:")
    }
    return [_declaration(btf, variable, purposes.get(variable, "")) for variable in section.items]


def _declaration(btf: Btf, variable_id: int, purpose: str) -> MapDeclaration:
    variable = btf.type(variable_id)
    structure = btf.resolve(variable.type_id)
    if variable.kind is not Kind.VAR or structure.kind is not Kind.STRUCT:
        raise BtfError(f"BTF declares a map {variable.name!r} that is no structure")
    numbers: dict[str, int] = {}
    types: dict[str, int] = {}
    for member in structure.members:
        pointer = btf.resolve(member.type_id)
        if pointer.kind is not Kind.PTR:
            continue
        if member.name in ("key", "value"):
            types[member.name] = pointer.type_id
        else:
            numbers[member.name] = btf.resolve(pointer.type_id).nelems
    number = numbers.get("type", 0)
    key, value = types.get("key", 0), types.get("value", 0)
    key_size = btf.size_of(key) if key else numbers.get("key_size", 0)
    value_size = btf.size_of(value) if value else numbers.get("value_size", 0)
    return MapDeclaration(
        name=variable.name,
        type=MAP_TYPES[number] if number < len(MAP_TYPES) else str(number),
        key=btf.describe(key) if key else _sized(key_size),
        key_size=key_size,
        value=btf.describe(value) if value else _sized(value_size),
        value_size=value_size,
        max_entries=numbers.get("max_entries", 0),
        flags=numbers.get("map_flags", 0),
        purpose=purpose,
        key_type_id=key,
        value_type_id=value,
    )


def _sized(size: int) -> str:
    """A type of which only the size is declared."""
    return {0: "", 4: "u32", 8: "u64"}.get(size, f"u8[{size}]")
