"""What this kernel allows, found out by trying each thing: the first part of `plainwire doctor`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plainwire.errors import PlainwireError
from plainwire.inspect import process
from plainwire.inspect.elf import ElfFile
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.capabilities import missing_capabilities
from plainwire.kernel.features import why_no_ring_buffer, why_no_uprobe_multi
from plainwire.kernel.hooks import why_no_kprobes
from plainwire.kernel.libbpf import KernelError, check_pointer, lib
from plainwire.kernel.object_files import PACKET_MODULE, PROCESS_OBJECT
from plainwire.kernel.uprobes import LibbpfLink, Link, attach_uprobes
from plainwire.modules import all_modules

Status = Literal["works", "refused", "missing"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to try.

    attempt: returns why it is missing, or None when it works; KernelError where the kernel refuses.
    gives: what it is used for. without: what the user has to do without it. required: no capture without it.
    """

    name: str
    gives: str
    without: str
    attempt: Callable[[], str | None]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How it went; `reason` is set unless it works."""

    trial: Trial
    status: Status
    reason: str | None


def run(trial: Trial) -> Result:
    """Try one thing. Never raises for what the kernel says."""
    try:
        reason = trial.attempt()
    except KernelError as error:
        return Result(trial, "missing" if error.number == errno.ENOENT else "refused", str(error))
    except PlainwireError as error:
        return Result(trial, "refused", str(error))
    return Result(trial, "works" if reason is None else "missing", reason)


def _load(program: str, attach: Callable[[BpfObject], Link] | None = None) -> None:
    """Load one program of bpf/trials.bpf.c, and attach it."""
    with BpfObject("trials") as trials, ExitStack() as links:
        trials.load_only(program)
        if attach is not None:
            links.callback(attach(trials).close)


def _loads(program: str) -> Callable[[], None]:
    return lambda: _load(program)


def _attaches(program: str) -> Callable[[], None]:
    """Attach at the place that the program's section names."""

    def attach(trials: BpfObject) -> Link:
        link = check_pointer(lib.bpf_program__attach(trials.program(program)), f"attach {program}")
        return LibbpfLink(link)

    return lambda: _load(program, attach)


def _own_library_function() -> tuple[str, int]:
    """A function of the C library that this process maps: its file, and the offset there."""
    for mapped in process.mapped_files(os.getpid()):
        with ElfFile(mapped.path) as elf:
            symbol = elf.exported(["getppid"]).get("getppid")
            if symbol:
                return mapped.path, elf.file_offset(symbol.address)
    raise KernelError(errno.ENOENT, "this Python maps no C library to try a probe on")


def _uprobe() -> None:
    path, offset = _own_library_function()

    def attach(trials: BpfObject) -> Link:
        program = trials.program("trial_uprobe")
        return attach_uprobes(program, path, [offset], cookies=[0], at_return=False, pid=os.getpid(), multi=False)[0]

    _load("trial_uprobe", attach)


def _kprobe() -> str | None:
    reason = why_no_kprobes()
    if reason is None:
        _attaches("trial_kprobe")()
    return reason


def _tracepoint() -> str | None:
    try:
        _attaches("trial_tracepoint")()
    except KernelError as error:
        folders = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
        if error.number == errno.ENOENT and not any(Path(folder, "events").exists() for folder in folders):
            return "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing"
        raise
    return None


def _objects() -> None:
    """The programs of the capture themselves: what the verifier says of them is the last word."""
    objects = [name for module in all_modules().values() for name in module.objects]
    for name in (PROCESS_OBJECT, *objects):
        with BpfObject(name) as loaded:
            loaded.load()


def _packets() -> None:
    with BpfObject(PACKET_MODULE) as loaded:
        loaded.load()


def _capabilities() -> str | None:
    lacking = [f"{name} (to {purpose})" for name, purpose in missing_capabilities().items()]
    return f"{', '.join(lacking)}: run it with sudo" if lacking else None


TRIALS = (
    Trial("capabilities", "the right to capture", "nothing can be captured", _capabilities, required=True),
    Trial(
        "BTF",
        "offsets of kernel structures on this very kernel",
        "nothing can be captured: the kernel was built without CONFIG_DEBUG_INFO_BTF",
        lambda: None if Path("/sys/kernel/btf/vmlinux").exists() else "/sys/kernel/btf/vmlinux is missing",
        required=True,
    ),
    Trial("CO-RE", "programs that fit any kernel", "nothing can be captured", _loads("trial_core"), required=True),
    Trial("uprobe", "probes in TLS libraries", "nothing can be captured", _uprobe, required=True),
    Trial(
        "attach cookie",
        "tells which library an event comes from (Linux 5.15)",
        "nothing can be captured",
        _loads("trial_attach_cookie"),
        required=True,
    ),
    Trial(
        "atomic operations",
        "buffers that never mix two tasks' bytes (Linux 5.12)",
        "nothing can be captured",
        _loads("trial_atomics"),
        required=True,
    ),
    Trial(
        "raw tracepoint",
        "new processes, their names, and their end",
        "nothing can be captured",
        _attaches("trial_raw_tracepoint"),
        required=True,
    ),
    Trial("plainwire's programs", "the capture itself", "nothing can be captured", _objects, required=True),
    Trial(
        "uprobe_multi",
        "many probes attached at once (Linux 6.6)",
        "attaching and ending take up to 2 s",
        why_no_uprobe_multi,
    ),
    Trial(
        "ring buffer",
        "events of all CPUs in order (Linux 5.8)",
        "perf buffers are used: events wait up to 25 ms and end at 64 KiB",
        why_no_ring_buffer,
    ),
    Trial(
        "send_signal",
        "-- COMMAND waits until its libraries are attached",
        "the first calls of a library that is loaded late may be missed",
        _loads("trial_send_signal"),
    ),
    Trial("kprobe", "a way to hook the kernel", "another way is taken", _kprobe),
    Trial("fentry", "a way to hook the kernel", "another way is taken", _attaches("trial_fentry")),
    Trial("BTF tracepoint", "a way to hook the kernel", "another way is taken", _attaches("trial_btf_tracepoint")),
    Trial("tracepoint", "a way to hook the kernel", "another way is taken", _tracepoint),
    Trial("tc classifier", "packets", "packets can't be captured", _packets),
)
