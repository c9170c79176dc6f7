"""The bpf(2) calls that libbpf 1.1 has no function for. Numbers and structures: include/uapi/linux/bpf.h."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from plainwire.kernel.libbpf import kernel_error

BPF_PROG_LOAD = 5
BPF_LINK_CREATE = 28
BPF_TRACE_UPROBE_MULTI = 48
_SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
BPF_TCX_INGRESS = 46
BPF_TCX_EGRESS = 47
_BPF_F_UPROBE_MULTI_RETURN = 1
_BPF_F_BEFORE = 8
_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char], what: str) -> int:
    """One bpf(2) call. Returns its result (a file descriptor, mostly); errors as `kernel_error` tells."""
    result = _libc.syscall(_SYS_BPF, command, ctypes.byref(attributes), ctypes.sizeof(attributes))
    if result < 0:
        raise kernel_error(ctypes.get_errno(), what)
    return int(result)


def load_program(program_type: int, instructions: bytes, what: str, *, expected_attach_type: int = 0) -> int:
    """Load a program without libbpf, as feature probes do. Returns its descriptor."""
    licence = ctypes.create_string_buffer(b"GPL")
    code = ctypes.create_string_buffer(instructions, len(instructions))
    attributes = ctypes.create_string_buffer(
        struct.pack(
            "=IIQQIIQI",
            program_type,
            len(instructions) // 8,
            ctypes.addressof(code),
            ctypes.addressof(licence),
            0,  # log_level, log_size, log_buf: no log
            0,
            0,
            0,
        )
        + struct.pack("=I16sII", 0, b"", 0, expected_attach_type),
        72,
    )
    return bpf(BPF_PROG_LOAD, attributes, what)


def link_uprobe_multi(
    program_fd: int, path: str, offsets: list[int], cookies: list[int], *, at_return: bool, pid: int
) -> int:
    """Attach a program at several file offsets of one file (Linux 6.6). pid 0: in every process.

    Returns the link's descriptor; the probes go when it is closed, at the latest with this process.
    """
    path_bytes = ctypes.create_string_buffer(os.fsencode(path))
    offset_array = (ctypes.c_uint64 * len(offsets))(*offsets)
    cookie_array = (ctypes.c_uint64 * len(cookies))(*cookies)
    attributes = ctypes.create_string_buffer(
        struct.pack(
            "=IIIIQQQQIIII",
            program_fd,
            0,
            BPF_TRACE_UPROBE_MULTI,
            0,
            ctypes.addressof(path_bytes),
            ctypes.addressof(offset_array),
            0,
            ctypes.addressof(cookie_array),
            len(offsets),
            _BPF_F_UPROBE_MULTI_RETURN if at_return else 0,
            pid,
            0,
        ),
        64,
    )
    return bpf(BPF_LINK_CREATE, attributes, f"attach probes to {path}")


def link_tcx(program_fd: int, ifindex: int, attach_type: int) -> int:
    """Attach a classifier to an interface, before all others (Linux 6.6). attach_type: BPF_TCX_*.

    Returns the link's descriptor; the classifier goes when it is closed, at the latest with this process.
    """
    attributes = ctypes.create_string_buffer(
        struct.pack("=IIII", program_fd, ifindex, attach_type, _BPF_F_BEFORE).ljust(64, b"\0"), 64
    )
    return bpf(BPF_LINK_CREATE, attributes, f"attach a classifier to interface {ifindex}")
