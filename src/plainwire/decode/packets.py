"""Samples of the packet buffer in, packet events out.

Packets are held back for a moment: the process that serves a connection may be known only when it has accepted it and
read from it, and the keys of a handshake come after its packets. Both then stand with or before the packet.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.clock import WallClock
from plainwire.decode.flows import Flow, flow_of
from plainwire.decode.layout import EventLayout, compile_layout
from plainwire.decode.records import ContainerFacts, InterfaceCounters, InterfaceFacts, Packets
from plainwire.events import AnyEvent, InterfaceEvent, PacketEvent

HELD_NS: Final = 100_000_000
_MOST_HELD_BYTES: Final = 32 << 20
_OWNERS_KEPT_NS: Final = 1_000_000_000
_MAC_ADDRESSES: Final = 12
_TAG_SIZE: Final = 4

# enum packet_flag of bpf/abi.h
_OUTGOING: Final = 1
_INHERITED: Final = 2
_WANTED: Final = 4

_UNKNOWN_INTERFACE = InterfaceFacts(0, "unknown", 1)


class _Process(NamedTuple):
    pid: int | None
    uid: int | None
    comm: str | None


@dataclass(slots=True)
class _Owner:
    """The process that a socket_owner_event_t tells."""

    timestamp_ns: int
    process: _Process
    wanted: bool


class _Held(NamedTuple):
    """flow: of a packet whose process may still become known."""

    event: PacketEvent
    flow: Flow | None
    wanted: bool


class PacketDecoder:
    """The packets of one session. `wanted` filters by pid, uid and comm where the kernel does not."""

    def __init__(self, clock: WallClock, wanted: Callable[[int, int, str], bool]) -> None:
        self.count = 0
        self.unattributed = 0
        self._clock = clock
        self._wanted_process = wanted
        self._layout: EventLayout[abi.SkbDataEvent] | None = None
        self._owner_layout: EventLayout[abi.SocketOwnerEvent] | None = None
        self._packet_kind = self._owner_kind = -1
        self._interfaces: dict[int, InterfaceFacts] = {}
        self._counters: dict[int, tuple[int, int]] = {}
        self._containers: dict[int, str] = {}
        self._processes: dict[tuple[int, int, bytes], _Process] = {}
        self._owners: dict[Flow, _Owner] = {}
        self._held: deque[_Held] = deque()
        self._held_bytes = 0

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("skb_data_event_t") and btf.struct("socket_owner_event_t"):
            self._layout = compile_layout(abi.SkbDataEvent, "skb_data_event_t", btf)
            self._owner_layout = compile_layout(abi.SocketOwnerEvent, "socket_owner_event_t", btf)
            kinds = abi.event_kinds(btf)
            self._packet_kind, self._owner_kind = kinds[abi.PACKET], kinds[abi.SOCKET_OWNER]

    def add_interface(self, facts: InterfaceFacts, timestamp_ns: int) -> list[AnyEvent]:
        """The event that declares it."""
        self._interfaces[facts.ifindex] = facts
        return [self._interface_event(facts, timestamp_ns, 0, 0)]

    def add_container(self, facts: ContainerFacts) -> None:
        """Packets of the process say so from now on."""
        self._containers[facts.pid] = facts.container

    def add_counters(self, record: InterfaceCounters) -> int:
        """How many packets were lost since the last counters."""
        before = sum(lost for _, lost in self._counters.values())
        self._counters |= record.counters
        return sum(lost for _, lost in self._counters.values()) - before

    def read(self, record: Packets) -> tuple[list[AnyEvent], int]:
        """The packets that have been held long enough, and how many samples were malformed."""
        malformed = 0
        for sample in record.samples:
            try:
                self._read_sample(sample)
            except struct.error:
                malformed += 1
        for flow, owner in list(self._owners.items()):
            if owner.timestamp_ns >= record.timestamp_ns - _OWNERS_KEPT_NS:
                break
            del self._owners[flow]
        return self._release(record.timestamp_ns - HELD_NS), malformed

    def finish(self, timestamp_ns: int) -> list[AnyEvent]:
        """What is still held, then the interfaces with their counts."""
        events = self._release(None)
        for ifindex, (packets, lost) in self._counters.items():
            facts = self._interfaces.get(ifindex, _UNKNOWN_INTERFACE)
            events.append(self._interface_event(facts, timestamp_ns, packets, lost))
        return events

    def _interface_event(self, facts: InterfaceFacts, timestamp_ns: int, packets: int, lost: int) -> InterfaceEvent:
        return InterfaceEvent(self._clock.text(timestamp_ns), timestamp_ns, facts.name, facts.link_type, packets, lost)

    def _read_sample(self, sample: bytes) -> None:
        """Raises struct.error where it is too short."""
        if self._layout is None or self._owner_layout is None:
            raise struct.error("no layout")
        kind, ifindex, timestamp, pid, uid, length, captured, vlan, vlan_tci, flags, comm = self._layout.unpack_from(
            sample
        )
        if kind != self._packet_kind:
            self._read_owner(sample, kind)
            return
        start = self._layout.size
        data = sample[start : start + captured]
        if len(data) != captured:
            raise struct.error("a packet is cut")
        if vlan:
            tag = struct.pack(">HH", vlan, vlan_tci)
            data = data[:_MAC_ADDRESSES] + tag + data[_MAC_ADDRESSES:]
            length += _TAG_SIZE
        facts = self._interfaces.get(ifindex, _UNKNOWN_INTERFACE)
        outgoing = bool(flags & _OUTGOING)
        process = self._process(pid, uid, comm)
        direction: Literal["in", "out"] = "out" if outgoing else "in"
        event = PacketEvent(
            "",
            timestamp,
            facts.name,
            facts.link_type,
            direction,
            process.pid,
            process.uid,
            process.comm,
            self._containers.get(pid),
            length,
            data,
        )
        flow = None
        if not pid or flags & _INHERITED:
            flow = flow_of(data, facts.link_type, outgoing=outgoing)
        self._held.append(_Held(event, flow, bool(flags & _WANTED)))
        self._held_bytes += captured

    def _process(self, pid: int, uid: int, comm: bytes) -> _Process:
        key = (pid, uid, comm)
        process = self._processes.get(key)
        if process is None:
            if pid:
                process = _Process(pid, uid, comm.split(b"\0")[0].decode("utf-8", "backslashreplace"))
            else:
                process = _Process(None, None, None)
            self._processes[key] = process
        return process

    def _read_owner(self, sample: bytes, kind: int) -> None:
        if kind != self._owner_kind or self._owner_layout is None:
            raise struct.error("a sample of an unknown kind")
        told = abi.SocketOwnerEvent._make(self._owner_layout.unpack_from(sample))
        flow = Flow(told.protocol, told.local_address, told.local_port, told.remote_address, told.remote_port)
        self._owners.pop(flow, None)  # so that the order stays that of time
        self._owners[flow] = _Owner(told.timestamp_ns, self._process(told.pid, told.uid, told.comm), bool(told.wanted))

    def _release(self, until_ns: int | None) -> list[AnyEvent]:
        """Packets up to a time; all if it is None."""
        events: list[AnyEvent] = []
        held, text = self._held, self._clock.text
        while held:
            event, flow, wanted = held[0]
            if until_ns is not None and event.timestamp_ns > until_ns and self._held_bytes <= _MOST_HELD_BYTES:
                break
            held.popleft()
            self._held_bytes -= len(event.data)
            if flow is not None:
                owner = self._owners.get(flow)
                if owner is not None:
                    event.pid, event.uid, event.comm = owner.process
                    event.container = self._containers.get(event.pid) if event.pid else None
                    wanted = owner.wanted
                # On loopback it may be wanted for the sake of its receiver.
                receiver = self._owners.get(flow.reversed())
                wanted = wanted or (receiver is not None and receiver.wanted)
            if (not wanted and event.pid is not None) or not self._wanted_process(
                event.pid or 0, event.uid or 0, event.comm or ""
            ):
                continue
            event.time = text(event.timestamp_ns)
            self.count += 1
            if event.pid is None:
                self.unattributed += 1
            events.append(event)
        return events
