"""The packets of a session: what the kernel side tells, as records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from plainwire.capture.options import CaptureOptions
from plainwire.capture.packet_reader import PacketReader
from plainwire.decode.packets import HELD_NS
from plainwire.decode.records import AnyRecord, ContainerFacts, InterfaceCounters, InterfaceFacts, Layout, Packets
from plainwire.kernel.engine import Engine
from plainwire.kernel.object_files import PACKET_MODULE
from plainwire.kernel.packets import PacketOptions
from plainwire.sockets.interfaces import Interface

_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
_COUNTERS_PERIOD_NS: Final = 1_000_000_000
# While packets are held back, time is told this often.
_TELL_TIME_NS: Final = 50_000_000
_PID = slice(16, 20)  # of skb_data_event_t in bpf/abi.h
_MOST_KNOWN_PIDS: Final = 65536


class PacketRecords:
    """Attached when made.

    `warn` gets a line for each interface that is not there, or can't be captured on. `container_of` tells the container
    of a process.
    """

    def __init__(
        self,
        engine: Engine,
        options: CaptureOptions,
        warn: Callable[[str], None],
        container_of: Callable[[int], str | None],
    ) -> None:
        self._capture = engine.capture_packets(
            PacketOptions(options.interfaces, options.packet_filter, options.snaplen), options.buffer_size
        )
        self._warn = warn
        self._warned: set[str] = set()
        self._container_of = container_of
        self._known_pids: set[bytes] = set()
        self._told_containers: dict[int, str | None] = {}
        self._told: dict[int, tuple[int, int]] = {}
        self._last_packets_ns = 0
        self._next_counters_ns = 0
        self._reader = PacketReader(self._capture.buffer)
        self.wakeup_fd = self._reader.wakeup_fd
        self.interfaces_fd = self._capture.monitor.fd
        self._new = self._attach()
        for name in self._capture.missing():
            warn(f"there is no interface {name} yet; waiting for it")

    def _attach(self) -> list[Interface]:
        new = self._capture.attach()
        for name, reason in self._capture.refused.items():
            if name not in self._warned:
                self._warned.add(name)
                self._warn(f"no packets of {name}: {reason}")
        return new

    @property
    def interface_names(self) -> list[str]:
        """Where packets are captured from the beginning."""
        return [interface.name for interface in self._new]

    def begin(self) -> Iterator[AnyRecord]:
        """What the packets' decoding needs."""
        yield Layout(PACKET_MODULE, self._capture.btf())
        yield from self._facts(self._new)

    def _facts(self, interfaces: list[Interface]) -> Iterator[AnyRecord]:
        for interface in interfaces:
            link_type = _LINKTYPE_ETHERNET if interface.has_ethernet_header else _LINKTYPE_RAW
            yield InterfaceFacts(interface.index, interface.name, link_type)

    def drain(self) -> tuple[list[AnyRecord], bool]:
        """What has come, and whether there is more."""
        records: list[AnyRecord] = []
        if self._capture.monitor.changed():
            records += self._facts(self._attach())
        rounds, more = self._reader.take()
        now = time.monotonic_ns()
        for samples in rounds:
            records += self._containers(samples)
            records.append(Packets(now, samples))
        if rounds:
            self._last_packets_ns = now
        elif self._is_holding(now):
            records.append(Packets(now, []))
        if now >= self._next_counters_ns:
            self._next_counters_ns = now + _COUNTERS_PERIOD_NS
            records += self._counters(now)
        return records, more

    def _is_holding(self, now: int) -> bool:
        """Whether the decoder may hold packets back that wait for their time."""
        return now - self._last_packets_ns < HELD_NS + 2 * _TELL_TIME_NS

    def next_moment(self, now: int) -> int | None:
        """When `drain` should be called though nothing comes (CLOCK_MONOTONIC, ns)."""
        return now + _TELL_TIME_NS if self._is_holding(now) else None

    def _containers(self, samples: list[bytes]) -> Iterator[AnyRecord]:
        new = {sample[_PID] for sample in samples} - self._known_pids
        if len(self._known_pids) > _MOST_KNOWN_PIDS:
            self._known_pids.clear()
        self._known_pids |= new
        for raw in new:
            pid = int.from_bytes(raw, "little")
            container = self._container_of(pid) if pid else None
            if container != self._told_containers.get(pid):
                self._told_containers[pid] = container
                yield ContainerFacts(pid, container)

    def exited(self, pid: int) -> None:
        """A process has ended: its number may be given to another one."""
        self._known_pids.discard(pid.to_bytes(4, "little"))

    def _counters(self, now: int) -> Iterator[AnyRecord]:
        counters = self._capture.counters()
        if counters != self._told:
            self._told = counters
            yield InterfaceCounters(now, counters)

    def finish(self) -> Iterator[AnyRecord]:
        """Capture no more; what is left in the buffer."""
        self._capture.detach()
        self._reader.stop()
        more = True
        while more:
            records, more = self.drain()
            yield from records
        yield from self._counters(time.monotonic_ns())

    def close(self) -> None:
        """Take everything away."""
        self._capture.detach()
        self._reader.close()
        self._capture.close()
