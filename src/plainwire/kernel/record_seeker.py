"""Probes on BIO_write in the processes that need them, and the eye on packets meanwhile (bpf/written_records.bpf.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.hooks import KernelHooks, Load
from plainwire.kernel.uprobes import Link, attach_uprobes
from plainwire.modules import KernelHook, Way

SEEKERS_MAP: Final = "record_seekers"
FUNCTION: Final = "BIO_write"
_PROGRAM: Final = "probe_BIO_write"
RECORD_HOOK: Final = KernelHook(
    "TLS record on its way",
    (Way("cgroup", ("record_sent",)),),
    without="connections of memory BIOs that are older than the capture stay unknown",
)


@dataclass(frozen=True, slots=True)
class Seeker:
    """A process. last_ns: when a connection was last missed (CLOCK_MONOTONIC). sought: how many are missed."""

    last_ns: int
    sought: int


class RecordSeeker:
    """Attaches and takes away; what it costs, it costs only while a process is attached."""

    def __init__(self, loaded: BpfObject, load: Load, *, multi: bool) -> None:
        """loaded: the module's object. load: loads some of its programs once more. multi: see attach_uprobes."""
        self._loaded = loaded
        self._load = load
        self._multi = multi
        self._links: dict[int, list[Link]] = {}
        self._packets: KernelHooks | None = None

    @property
    def processes(self) -> tuple[int, ...]:
        """Those that are attached."""
        return tuple(self._links)

    def wanted(self) -> dict[int, Seeker]:
        """The processes that sought connections since they were last detached."""
        seekers = self._loaded.map(SEEKERS_MAP)
        found = {key: seekers.lookup(key) for key in list(seekers.keys())}
        return {
            struct.unpack("=I", key)[0]: Seeker(*struct.unpack("=Qq", value))
            for key, value in found.items()
            if value is not None
        }

    def watch_packets(self) -> str | None:
        """Look at what sockets send, until the last process is detached. Gives the reason where the kernel refuses."""
        if self._packets is None:
            self._packets = KernelHooks()
            outcome = self._packets.attach(RECORD_HOOK, self._load)
            if outcome.way is None:
                return f"{RECORD_HOOK.name} can't be seen here ({outcome.reasons}): {RECORD_HOOK.without}"
        return None

    def attach(self, pid: int, places: Sequence[tuple[str, int]]) -> None:
        """Probe BIO_write in a process. places: the files that define it, and where. Raises KernelError."""
        links = self._links.setdefault(pid, [])
        program = self._loaded.program(_PROGRAM)
        for path, offset in places:
            links += attach_uprobes(program, path, [offset], cookies=[0], at_return=False, pid=pid, multi=self._multi)

    def detach(self, pid: int) -> None:
        """Take the probe of a process away; with the last one, the eye on packets."""
        self._loaded.map(SEEKERS_MAP).delete(struct.pack("=I", pid))
        for link in self._links.pop(pid, ()):
            link.close()
        if not self._links:
            self.close()

    def close(self) -> None:
        """Take everything away."""
        for pid in self.processes:
            for link in self._links.pop(pid):
                link.close()
        if self._packets is not None:
            self._packets.close()
            self._packets = None
