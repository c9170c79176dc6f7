"""How much memory a map takes in the kernel."""

from __future__ import annotations

from pathlib import Path

from plainwire.decode.maps import MapDeclaration

_BPF_F_NO_PREALLOC = 1  # <linux/bpf.h>
# Of 6.18 on x86-64; other kernels differ by some tens of bytes.
_BPF_ARRAY = 312  # kernel/bpf/arraymap.c: struct bpf_array
_BPF_HTAB = 896  # kernel/bpf/hashtab.c: struct bpf_htab
_LOCAL_STORAGE = 448  # include/linux/bpf_local_storage.h: struct bpf_local_storage_map
_HTAB_ELEM = 48  # struct htab_elem, before key and value
_BUCKET = 16
_POINTER = 8


def possible_cpus() -> int:
    """How many CPUs the kernel has set aside room for: a per-CPU value has one part for each."""
    highest = Path("/sys/devices/system/cpu/possible").read_text().strip().split("-")[-1]
    return int(highest) + 1


def map_bytes(declaration: MapDeclaration, cpus: int) -> int | None:
    """Bytes right after the load, as array_map_mem_usage() and htab_map_mem_usage() of the kernel count them.

    A hash map with BPF_F_NO_PREALLOC grows as it is filled. An event map has no bytes of its own worth telling: its
    events lie in the buffer that it is bound to. None for types that plainwire does not use.
    """
    entries, value_size = declaration.max_entries, _round_up(declaration.value_size)
    match declaration.type:
        case "PERF_EVENT_ARRAY" | "PROG_ARRAY":
            return _BPF_ARRAY + entries * _POINTER
        case "ARRAY":
            return _BPF_ARRAY + entries * value_size
        case "PERCPU_ARRAY":
            return _BPF_ARRAY + entries * (_POINTER + value_size * cpus)
        case "HASH" | "LRU_HASH" as kind:
            buckets = _BPF_HTAB + _BUCKET * (1 << max(entries - 1, 0).bit_length())
            if declaration.flags & _BPF_F_NO_PREALLOC:
                return buckets
            element = _HTAB_ELEM + _round_up(declaration.key_size) + value_size
            spare = 0 if kind == "LRU_HASH" else cpus  # an element a CPU, for updates of a full map
            return buckets + element * (entries + spare) + spare * _POINTER
        case "SK_STORAGE":  # a value lies with its socket
            return _LOCAL_STORAGE + _BUCKET * max(2, 1 << (cpus - 1).bit_length())
    return None


def _round_up(size: int) -> int:
    return (size + 7) // 8 * 8
