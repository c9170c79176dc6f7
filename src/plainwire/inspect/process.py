"""What /proc tells of a process: what it maps, who it is. Facts are from proc(5) and the kernel's fs/proc/.

Processes end at any moment, also between two reads: then ProcessGoneError is raised, whatever the system call said.
Reading another user's process needs CAP_SYS_PTRACE; PermissionMissingError says so.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from plainwire.errors import InputError, PermissionMissingError

PF_KTHREAD = 0x00200000  # include/linux/sched.h

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DELETED = b" (deleted)"

# A mapping that is executable and of a file. show_map_vma() in fs/proc/task_mmu.c writes the line, and "\012" for a
# newline in the path, which is the only escape.
_EXECUTABLE_MAPPING = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([1-9][0-9]*) +(/.*)$", re.MULTILINE
)
# Docker, containerd, CRI-O and podman name the cgroup of a container by its id, with or without an affix.
_CONTAINER_ID = re.compile(rb"[/:-]([0-9a-f]{64})(?:\.scope|/|$)", re.MULTILINE)
_NAMED_CONTAINER = re.compile(
    rb"/(?:lxc\.payload\.|lxc/|machine\.slice/machine-)([^/\n]+?)(?:\.scope)?(?:/|$)", re.MULTILINE
)


class ProcessGoneError(InputError):
    """There is no process of this number, or it ended while it was looked at."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"no process with pid {pid}")


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file that a process has mapped with permission to execute.

    path: as the process sees it, in its own root; a file that it mapped before it changed its root has the path from
    outside. deleted: the path no longer leads to it.
    start, end: the mapping's addresses in the process. offset: where in the file the mapping begins, in bytes.
    device: (major, minor) of the file system, which need not be what stat() says (overlayfs, btrfs).
    """

    path: str
    device: tuple[int, int]
    inode: int
    deleted: bool
    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as it was when it was read. What could not be read is None.

    uid: the real one. start_ns: CLOCK_MONOTONIC, as exact as /proc tells (10 ms). namespace_pids: its numbers in its
    pid namespaces from the reader's inwards, so that the last is its own. exe: as the process sees it.
    container: the container's id or name, where its cgroup has one of the well-known forms.
    """

    pid: int
    ppid: int
    uid: int
    comm: str
    exe: str | None
    cmdline: tuple[str, ...] | None
    start_ns: int
    namespace_pids: tuple[int, ...]
    container: str | None
    is_kernel_thread: bool
    is_32bit: bool | None


def pids() -> list[int]:
    """The processes that there are, in ascending order."""
    return sorted(int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal())


@contextmanager
def _reading(pid: int) -> Iterator[None]:
    """Turns what the system calls say of a process that is gone, or of another user's, into this module's errors."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGoneError(pid) from None
    except PermissionError:
        raise PermissionMissingError(
            f"not allowed to look into process {pid}: run as root, with the capability CAP_SYS_PTRACE"
        ) from None


def mapped_files(pid: int) -> list[MappedFile]:
    """The files that a process maps as executable, each once, in the order of their addresses.

    [] for a kernel thread and for a process that has ended and was not yet waited for.
    """
    with _reading(pid):
        maps = Path(f"/proc/{pid}/maps").read_bytes()
    root = _root(pid)
    files: dict[tuple[int, int, int], MappedFile] = {}
    for start, end, offset, major, minor, inode, path in _EXECUTABLE_MAPPING.findall(maps):
        identity = int(major, 16), int(minor, 16), int(inode)
        if identity not in files:
            shown, deleted = _real_path(
                pid, path.removeprefix(root) if path.startswith(root + b"/") else path, identity[2]
            )
            files[identity] = MappedFile(
                shown, identity[:2], identity[2], deleted, int(start, 16), int(end, 16), int(offset, 16)
            )
    return list(files.values())


def _root(pid: int) -> bytes:
    """The prefix of the paths in /proc/PID/maps that the process itself does not see: after chroot(2), its new root.

    The kernel writes those paths from the root of the mount namespace; b"" in a container, which has one of its own.
    """
    try:
        return os.fsencode(Path(f"/proc/{pid}/root").readlink()).rstrip(b"/")
    except OSError:
        return b""


def _real_path(pid: int, path: bytes, inode: int) -> tuple[str, bool]:
    """Undoes what the kernel did to a path; where a file may really be named like that, the file system decides."""
    plain = path.replace(rb"\012", b"\n")
    if plain != path and _is_at(pid, path, inode):
        plain = path
    if not plain.endswith(_DELETED) or _is_at(pid, plain, inode):
        return os.fsdecode(plain), False
    return os.fsdecode(plain.removesuffix(_DELETED)), True


def _is_at(pid: int, path: bytes, inode: int) -> bool:
    for place in _places(pid, os.fsdecode(path)):
        with suppress(OSError, ValueError):
            if Path(place).lstat().st_ino == inode:
                return True
    return False


def _places(pid: int, path: str) -> tuple[str, str]:
    """Where a file that a process has mapped may be found: in its root, or in ours, where it was before a chroot(2)."""
    return f"/proc/{pid}/root{path}", path


def open_mapped(pid: int, mapped: MappedFile) -> int:
    """Opens the very file that is mapped, wherever its path leads by now, for reading. The caller closes it.

    /proc/PID/map_files leads to deleted files and into other roots, but needs CAP_SYS_ADMIN or
    CAP_CHECKPOINT_RESTORE; without, the path is opened in the process's root, if it still is the same file.
    Raises ProcessGoneError, PermissionMissingError, or InputError when the file can't be had.
    """
    with suppress(OSError):
        return _open_checked(f"/proc/{pid}/map_files/{mapped.start:x}-{mapped.end:x}", mapped.inode, follow=True)
    with _reading(pid):
        Path(f"/proc/{pid}/stat").stat()
    for place in _places(pid, mapped.path):
        try:
            return _open_checked(place, mapped.inode, follow=False)
        except PermissionError:
            with _reading(pid):
                raise
        except (OSError, ValueError):
            pass
    reason = "has been deleted" if mapped.deleted else "is no longer at its path"
    raise InputError(f"{mapped.path!r}, mapped by process {pid}, {reason}; reading it from the process needs root")


def _open_checked(path: str, inode: int, *, follow: bool) -> int:
    """Opens a regular file with this inode. What else may stand at the path by now, a device say, is not touched."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        status = os.fstat(found)
        if status.st_ino != inode or not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(path)
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)


def executable(pid: int) -> str | None:
    """The path of the program that a process runs, as the process sees it; None where there is none to be read.

    For people, so that bytes which are no UTF-8 are written as escapes: open /proc/PID/exe instead.
    """
    try:
        link = os.fsencode(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return None
    root = _root(pid)
    if link.startswith(root + b"/"):
        link = link.removeprefix(root)
    if link.endswith(_DELETED) and not any(Path(place).exists() for place in _places(pid, os.fsdecode(link))):
        link = link.removesuffix(_DELETED)
    return link.decode("utf-8", "backslashreplace")


def process(pid: int) -> Process:
    """The facts of a process. A thread's number gives the process that it belongs to."""
    with _reading(pid):
        status = Path(f"/proc/{pid}/status").read_bytes()
        pid = int(_status_field(status, b"Tgid"))
        line = Path(f"/proc/{pid}/stat").read_bytes()
    # "pid (comm) state ppid …": comm may hold spaces and parentheses.
    comm = line[line.index(b"(") + 1 : line.rindex(b")")]
    fields = line[line.rindex(b")") + 2 :].split()  # from field 3 of proc(5) on
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        uid=int(_status_field(status, b"Uid").split()[0]),
        comm=comm.decode("utf-8", "backslashreplace"),
        exe=executable(pid),
        cmdline=_cmdline(pid),
        start_ns=_since_boot_to_monotonic(int(fields[19])),
        namespace_pids=tuple(map(int, _status_field(status, b"NSpid").split())) or (pid,),
        container=container(pid),
        is_kernel_thread=bool(int(fields[6]) & PF_KTHREAD),
        is_32bit=_is_32bit(pid),
    )


def children(pid: int) -> tuple[int, ...]:
    """The processes that a process has started and that still are, as far as they did not leave it (daemons do)."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_bytes().split())
    return tuple(sorted(found))


def _status_field(status: bytes, name: bytes) -> bytes:
    found = re.search(rb"^%b:\t(.*)$" % name, status, re.MULTILINE)
    return found[1] if found else b""


def _cmdline(pid: int) -> tuple[str, ...] | None:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return tuple(argument.decode("utf-8", "backslashreplace") for argument in text.split(b"\0")[:-1]) or None


def _since_boot_to_monotonic(ticks: int) -> int:
    """CLOCK_BOOTTIME in ticks, as /proc/PID/stat has it, to CLOCK_MONOTONIC in ns: they differ by time suspended."""
    suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return ticks * 1_000_000_000 // _TICKS_PER_SECOND - suspended


def container(pid: int) -> str | None:
    """The id (64 hexadecimal digits) or name of the container that a process is in, by its cgroup."""
    try:
        cgroups = Path(f"/proc/{pid}/cgroup").read_bytes()
    except OSError:
        return None
    found = _CONTAINER_ID.findall(cgroups) or _NAMED_CONTAINER.findall(cgroups)
    # The innermost, when containers stand in containers.
    return found[-1].decode("utf-8", "backslashreplace") if found else None


def _is_32bit(pid: int) -> bool | None:
    try:
        with Path(f"/proc/{pid}/exe").open("rb") as file:
            head = file.read(5)
    except OSError:
        return None
    return head == b"\x7fELF\x01" if head.startswith(b"\x7fELF") else None
