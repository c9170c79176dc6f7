"""What this kernel can do, found out by trying. Never guessed from a version: distributions backport."""

from __future__ import annotations

import errno
import functools
import os
import struct

from plainwire.kernel.libbpf import KernelError, ffi, lib
from plainwire.kernel.syscalls import BPF_TRACE_UPROBE_MULTI, link_uprobe_multi, load_program

_BPF_MAP_TYPE_RINGBUF = 27
_BPF_PROG_TYPE_KPROBE = 2
# r0 = 0; exit
RETURN_ZERO = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


@functools.cache
def has_ring_buffer() -> bool:
    """BPF_MAP_TYPE_RINGBUF (Linux 5.8)."""
    return bool(lib.libbpf_probe_bpf_map_type(_BPF_MAP_TYPE_RINGBUF, ffi.NULL) == 1)


@functools.cache
def has_uprobe_multi() -> bool:
    """Links that attach many uprobes at once (Linux 6.6)."""
    try:
        program = load_program(
            _BPF_PROG_TYPE_KPROBE, RETURN_ZERO, "probe uprobe_multi", expected_attach_type=BPF_TRACE_UPROBE_MULTI
        )
    except KernelError:
        return False
    try:
        # A folder can't have probes: a kernel that knows the link looks at the path and says EBADF.
        os.close(link_uprobe_multi(program, "/", [0], [0], at_return=False, pid=0))
    except KernelError as error:
        return error.number == errno.EBADF
    finally:
        os.close(program)
    return False
