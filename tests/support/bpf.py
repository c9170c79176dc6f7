"""Whether this machine lets us load and attach eBPF programs, found without any code of plainwire's.

The product's own word (`plainwire doctor`) is not asked: a doctor that is wrong must not skip the tests that would
show it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from functools import cache
from pathlib import Path

SYS_BPF = {"x86_64": 321, "aarch64": 280}
SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
BPF_PROG_LOAD = 5
BPF_PROG_TYPE_KPROBE = 2
PERF_FLAG_FD_CLOEXEC = 8
UPROBE_TYPE = Path("/sys/bus/event_source/devices/uprobe/type")


def _syscall(number: int, *arguments: object) -> int:
    """The new descriptor, or OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _load_program() -> int:
    """Loads `return 0` as a kprobe program, the type that uprobes need."""
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    # union bpf_attr: prog_type, insn_cnt, insns, license, then zeros (log and the rest).
    attributes = struct.pack("<IIQQ", BPF_PROG_TYPE_KPROBE, 2, ctypes.addressof(code), ctypes.addressof(licence))
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return _syscall(SYS_BPF[platform.machine()], BPF_PROG_LOAD, buffer, 128)


def _open_uprobe() -> int:
    """Opens a uprobe event on the running Python's first byte of text: nothing ever runs there."""
    path = ctypes.create_string_buffer(bytes(Path("/proc/self/exe").readlink()))
    # struct perf_event_attr: type, size, config, 5 × 8 bytes, uprobe_path at 56, probe_offset at 64.
    attributes = struct.pack("<II48xQQ", int(UPROBE_TYPE.read_text()), 112, ctypes.addressof(path), 0)
    buffer = ctypes.create_string_buffer(attributes.ljust(112, b"\0"), 112)
    number = SYS_PERF_EVENT_OPEN[platform.machine()]
    return _syscall(number, buffer, -1, 0, -1, ctypes.c_ulong(PERF_FLAG_FD_CLOEXEC))


@cache
def why_not_permitted() -> str | None:
    """Why eBPF programs can't be attached to user functions here; None where they can."""
    if os.geteuid() != 0:
        return "not root"
    if platform.machine() not in SYS_BPF:
        return f"no eBPF objects for {platform.machine()}"
    try:
        os.close(_load_program())
    except OSError as error:
        return f"bpf() refuses to load a program: {error.strerror}"
    if not UPROBE_TYPE.exists():
        return "this kernel has no uprobes"
    try:
        os.close(_open_uprobe())
    except OSError as error:
        return f"perf_event_open() refuses a uprobe: {error.strerror}"
    return None
