"""What this kernel can do, found out by trying. Never guessed from a version: distributions backport."""

from __future__ import annotations

import errno
import functools
import os
import resource
import struct
from collections.abc import Callable

from plainwire.kernel.libbpf import KernelError, check, ffi, lib
from plainwire.kernel.syscalls import BPF_TRACE_UPROBE_MULTI, link_uprobe_multi, load_program

_BPF_MAP_TYPE_RINGBUF = 27
_BPF_PROG_TYPE_KPROBE = 2
# r0 = 0; exit
RETURN_ZERO = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


# What a kernel says of a type, or an attach type, that it does not know.
_UNKNOWN = (errno.EINVAL, errno.E2BIG)


@functools.cache
def has_ring_buffer() -> bool:
    """BPF_MAP_TYPE_RINGBUF (Linux 5.8). False also where it is refused."""
    return _works(why_no_ring_buffer)


@functools.cache
def has_uprobe_multi() -> bool:
    """Links that attach many uprobes at once (Linux 6.6). False also where they are refused."""
    return _works(why_no_uprobe_multi)


def _works(attempt: Callable[[], str | None]) -> bool:
    try:
        return attempt() is None
    except KernelError:
        return False


def why_no_ring_buffer() -> str | None:
    """None if the kernel has it. Raises KernelError where it refuses before it tells: without privileges."""
    size = resource.getpagesize()
    created = lib.bpf_map_create(_BPF_MAP_TYPE_RINGBUF, b"trial", 0, 0, size, ffi.NULL)
    if -created in _UNKNOWN:
        return "this kernel has no such map"
    os.close(check(created, "create a ring buffer"))
    return None


def why_no_uprobe_multi() -> str | None:
    """None if the kernel has it. Raises KernelError where it refuses before it tells: without privileges."""
    missing = "this kernel has no such link"
    try:
        program = load_program(
            _BPF_PROG_TYPE_KPROBE, RETURN_ZERO, "probe uprobe_multi", expected_attach_type=BPF_TRACE_UPROBE_MULTI
        )
    except KernelError as error:
        if error.number in _UNKNOWN:
            return missing
        raise
    try:
        # A folder can't have probes: a kernel that knows the link looks at the path and says EBADF.
        os.close(link_uprobe_multi(program, "/", [0], [0], at_return=False, pid=0))
    except KernelError as error:
        if error.number == errno.EBADF:
            return None
        if error.number not in _UNKNOWN:
            raise
    finally:
        os.close(program)
    return missing
