"""Which container a process runs in, by the names that container engines give to cgroups."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path

# A container's cgroup is named after its id, 64 hexadecimal digits: the id alone (cgroupfs: Docker, Kubernetes), behind
# the engine's name in a scope of systemd (docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope, crio-ID.scope), or
# behind the pod's slice (containerd: kubepods-podUID.slice:cri-containerd:ID).
_CGROUP = re.compile(r"(?:.*[-:])?([0-9a-f]{64})(?:\.scope)?")
# conmon, of Podman and CRI-O, watches a container from outside, in a cgroup named after it.
_OUTSIDE = "conmon"
_FILEID_KERNFS = 0xFE  # <linux/exportfs.h>: a handle of 8 bytes, which is the number of the folder
_libc = ctypes.CDLL(None, use_errno=True)


def container_of(pid: int) -> str | None:
    """The id of its container; None outside of one, and where the process is gone."""
    try:
        return container_in(Path(f"/proc/{pid}/cgroup").read_text(errors="replace"))
    except OSError:
        return None


def container_in(cgroups: str) -> str | None:
    """The id in what /proc/PID/cgroup says (cgroups(7)): of nested containers the innermost."""
    for line in cgroups.splitlines():
        path = line.split(":", 2)[-1]
        for name in reversed(path.split("/")):
            found = _CGROUP.fullmatch(name)
            if found and _OUTSIDE not in name:
                return found[1]
    return None


@lru_cache(maxsize=1024)
def container_of_cgroup(cgroup_id: int) -> str | None:
    """The id of the container whose cgroup2 has this number, whatever has become of its processes."""
    with suppress(OSError):
        mount = _cgroup2()
        if mount is None:
            return None
        descriptor = _open_by_handle(mount, struct.pack("=IiQ", 8, _FILEID_KERNFS, cgroup_id))
        try:
            return container_in(f"0::{Path(f'/proc/self/fd/{descriptor}').readlink()}")
        finally:
            os.close(descriptor)
    return None


def _open_by_handle(mount: int, handle: bytes) -> int:
    """open_by_handle_at(2), which Python lacks."""
    descriptor: int = _libc.open_by_handle_at(mount, handle, os.O_RDONLY | os.O_CLOEXEC)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


@cache
def _cgroup2() -> int | None:
    """A descriptor of the place where cgroup2 is mounted."""
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        _, folder, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return None
