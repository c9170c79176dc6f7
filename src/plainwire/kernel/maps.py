"""Access to a loaded map, keys and values as bytes."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator

from plainwire.kernel.libbpf import check, ffi, lib
from plainwire.kernel.map_memory import possible_cpus


class BpfMap:
    """A map of a loaded object. `value_size` is that of one CPU's value in a per-CPU map."""

    def __init__(self, name: str, fd: int, key_size: int, value_size: int) -> None:
        self.name = name
        self.fd = fd
        self.key_size = key_size
        self.value_size = value_size

    def update(self, key: bytes, value: bytes) -> None:
        """Set one entry. KernelError (E2BIG) where the map is full."""
        check(lib.bpf_map_update_elem(self.fd, key, value, 0), f"write to the map {self.name}")

    def delete(self, key: bytes) -> None:
        """Remove one entry; nothing happens where there is none."""
        result = lib.bpf_map_delete_elem(self.fd, key)
        if result != -errno.ENOENT:
            check(result, f"delete from the map {self.name}")

    def lookup(self, key: bytes) -> bytes | None:
        """One entry's value."""
        value = ffi.new("char[]", self.value_size)
        if lib.bpf_map_lookup_elem(self.fd, key, value) < 0:
            return None
        return bytes(ffi.buffer(value))

    def keys(self) -> Iterator[bytes]:
        """Every key. The entry just handed out must not be deleted while iterating."""
        key, following = ffi.NULL, ffi.new("char[]", self.key_size)
        while lib.bpf_map_get_next_key(self.fd, key, following) == 0:
            yield bytes(ffi.buffer(following))
            key = ffi.new("char[]", bytes(ffi.buffer(following)))

    def per_cpu_sum(self, index: int) -> int:
        """The sum over all CPUs of a per-CPU array's u64 value."""
        cpus = possible_cpus()
        values = ffi.new("char[]", 8 * cpus)
        check(lib.bpf_map_lookup_elem(self.fd, struct.pack("=I", index), values), f"read the map {self.name}")
        return sum((ctypes.c_uint64 * cpus).from_buffer_copy(ffi.buffer(values)))
