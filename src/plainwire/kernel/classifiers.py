"""Puts the classifiers on interfaces, and takes them away: by tcx links, or by filters of a clsact qdisc.

A tcx link (Linux 6.6) goes with the process that holds it. A filter stays until somebody removes it, so ours bear the
process's number as their handle, and those of processes that are gone are removed when a capture begins.
"""

from __future__ import annotations

import errno
import functools
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plainwire.kernel.features import RETURN_ZERO
from plainwire.kernel.libbpf import KernelError, check, ffi, lib
from plainwire.kernel.syscalls import BPF_TCX_EGRESS, BPF_TCX_INGRESS, link_tcx, load_program
from plainwire.kernel.uprobes import DescriptorLink, Link
from plainwire.sockets.traffic_control import list_filters

BPF_PROG_TYPE_SCHED_CLS: Final = 3
_BPF_TC_INGRESS, _BPF_TC_EGRESS = 1, 2
_NO_INTERFACE: Final = 0x7FFFFFFF
# Of our filters, so that a later capture knows them again; the first to be asked.
_PRIORITY: Final = 1
_NAMES: Final = frozenset({"egress_cls_func", "ingress_cls_fun"})  # the kernel keeps 15 bytes of a program's name


@functools.cache
def has_tcx() -> bool:
    """Whether the kernel knows tcx links: it looks for the interface then."""
    program = load_program(BPF_PROG_TYPE_SCHED_CLS, RETURN_ZERO, "probe tcx")
    try:
        os.close(link_tcx(program, _NO_INTERFACE, BPF_TCX_INGRESS))
    except KernelError as error:
        return error.number == errno.ENODEV
    finally:
        os.close(program)
    return True


def attach_classifier(program: Any, ifindex: int, *, egress: bool, tcx: bool) -> Link:
    """Attach a loaded classifier before all others. Raises KernelError."""
    descriptor = lib.bpf_program__fd(program)
    if tcx:
        return DescriptorLink(link_tcx(descriptor, ifindex, BPF_TCX_EGRESS if egress else BPF_TCX_INGRESS))
    hook = _hook(ifindex, _BPF_TC_EGRESS if egress else _BPF_TC_INGRESS)
    created = lib.bpf_tc_hook_create(hook)
    if created != -errno.EEXIST:
        check(created, f"create the clsact qdisc of interface {ifindex}")
    options = _options()
    options.prog_fd = descriptor
    check(lib.bpf_tc_attach(hook, options), f"attach a classifier to interface {ifindex}")
    return FilterLink(ifindex, egress)


@dataclass(frozen=True, slots=True)
class FilterLink:
    """A filter of a clsact qdisc."""

    ifindex: int
    egress: bool

    def close(self) -> None:
        """Remove it, if the interface is still there. The qdisc may serve others by now, so it stays."""
        with suppress(KernelError):
            _detach(self.ifindex, self.egress, os.getpid())


def remove_leftovers(ifindex: int) -> None:
    """Remove the filters of captures that were killed."""
    for found in list_filters(ifindex):
        name = found.name.partition(":")[0]  # libbpf adds the program's number
        if found.priority == _PRIORITY and name in _NAMES and not Path(f"/proc/{found.handle}").exists():
            with suppress(KernelError):
                _detach(ifindex, found.egress, found.handle)


def _detach(ifindex: int, egress: bool, handle: int) -> None:
    options = _options()
    options.handle = handle
    hook = _hook(ifindex, _BPF_TC_EGRESS if egress else _BPF_TC_INGRESS)
    check(lib.bpf_tc_detach(hook, options), f"detach from interface {ifindex}")


def _hook(ifindex: int, attach_point: int) -> Any:
    hook = ffi.new("struct bpf_tc_hook *")
    hook.sz = ffi.sizeof("struct bpf_tc_hook")
    hook.ifindex = ifindex
    hook.attach_point = attach_point
    return hook


def _options() -> Any:
    options = ffi.new("struct bpf_tc_opts *")
    options.sz = ffi.sizeof("struct bpf_tc_opts")
    options.handle = os.getpid()
    options.priority = _PRIORITY
    return options
