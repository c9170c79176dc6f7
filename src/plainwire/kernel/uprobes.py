"""Attaches programs: to a file, in every process that maps it, now or later, or in one alone; and to the kernel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plainwire.kernel.libbpf import check_pointer, ffi, lib
from plainwire.kernel.syscalls import link_uprobe_multi

ANY_PROCESS = 0


class Link(Protocol):
    """An attachment."""

    def close(self) -> None:
        """Take the probes away."""


@dataclass(frozen=True, slots=True)
class DescriptorLink:
    """A link that is a file descriptor."""

    fd: int

    def close(self) -> None:
        """See Link."""
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class LibbpfLink:
    """A link that libbpf made."""

    pointer: Any

    def close(self) -> None:
        """See Link."""
        lib.bpf_link__destroy(self.pointer)


def attach_uprobes(
    program: Any, path: str, offsets: Sequence[int], *, cookies: Sequence[int], at_return: bool, pid: int, multi: bool
) -> list[Link]:
    """Attach one program at file offsets of the file at `path`.

    cookies: what bpf_get_attach_cookie() gives at each. pid: one process, or ANY_PROCESS. multi: the program was loaded
    for uprobe_multi links (BpfObject.use_uprobe_multi), which attach and go in a hundredth of the time.
    """
    unsigned = [cookie & 0xFFFFFFFFFFFFFFFF for cookie in cookies]
    if multi:
        fd = link_uprobe_multi(
            lib.bpf_program__fd(program), path, list(offsets), unsigned, at_return=at_return, pid=pid
        )
        return [DescriptorLink(fd)]
    return [
        _attach_uprobe(program, path, offset, cookie, at_return=at_return, pid=pid)
        for offset, cookie in zip(offsets, unsigned, strict=True)
    ]


def _attach_uprobe(program: Any, path: str, offset: int, cookie: int, *, at_return: bool, pid: int) -> Link:
    options = ffi.new("struct bpf_uprobe_opts *")
    options.sz = ffi.sizeof("struct bpf_uprobe_opts")
    options.bpf_cookie = cookie
    options.retprobe = at_return
    pointer = lib.bpf_program__attach_uprobe_opts(program, pid or -1, os.fsencode(path), offset, options)
    return LibbpfLink(check_pointer(pointer, f"attach a probe to {path} at {offset:#x}"))


def attach_raw_tracepoint(program: Any, name: str) -> Link:
    """Attach one program to a tracepoint of the kernel, without tracefs."""
    pointer = lib.bpf_program__attach_raw_tracepoint(program, name.encode())
    return LibbpfLink(check_pointer(pointer, f"attach to the tracepoint {name}"))
