"""The root of the cgroup2 hierarchy, to which programs for all processes are attached."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from plainwire.kernel.libbpf import kernel_error

# The same numbers on every machine since Linux 5.2 (include/uapi/asm-generic/unistd.h).
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_CREATE = 6  # FSCONFIG_CMD_CREATE
_libc = ctypes.CDLL(None, use_errno=True)


def open_root_cgroup() -> int:
    """A descriptor of the root cgroup. Where cgroup2 is not mounted, as under `ip netns exec`, it is mounted apart,
    in no folder. Raises KernelError where the kernel has none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, about = line.partition(" - ")
        root, folder = fields.split()[3:5]
        if about.startswith("cgroup2 ") and root == "/":
            return os.open(_unescape(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return _mount_apart()


def _mount_apart() -> int:
    context = _call(_SYS_FSOPEN, b"cgroup2", 1)
    try:
        _call(_SYS_FSCONFIG, context, _CREATE, None, None, 0)
        mount = _call(_SYS_FSMOUNT, context, 1, 0)
    finally:
        os.close(context)
    try:
        return os.open(f"/proc/self/fd/{mount}/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(mount)


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise kernel_error(ctypes.get_errno(), "mount the cgroup2 hierarchy")
    return int(result)


def _unescape(folder: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal numbers."""
    for character in " \t\n\\":
        folder = folder.replace(f"\\{ord(character):03o}", character)
    return folder
