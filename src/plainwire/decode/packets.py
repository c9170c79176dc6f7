"""Samples of the packet buffer in, packets out.

Packets are held back for a moment: the process that serves a connection may be known only when it has accepted it and
read from it, and the keys of a handshake come after its packets. Both then stand with or before the packet. They are
held as they came and read when they are released, in one loop.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.context import Context
from plainwire.decode.flows import Flow, flow_of
from plainwire.decode.layout import EventLayout, compile_layout
from plainwire.decode.packet_batch import PacketBatch, PacketProcess, PacketRow
from plainwire.decode.records import ContainerFacts, InterfaceCounters, InterfaceFacts, Packets
from plainwire.events import AnyEvent, InterfaceEvent

HELD_NS: Final = 100_000_000
_MOST_HELD_BYTES: Final = 32 << 20
_OWNERS_KEPT_NS: Final = 1_000_000_000
_MOST_PROCESSES: Final = 65536
_MAC_ADDRESSES: Final = 12
_TAG_SIZE: Final = 4
_WORTH_A_VIEW: Final = 512

# enum packet_flag of bpf/abi.h
_OUTGOING: Final = 1
_INHERITED: Final = 2
_WANTED: Final = 4

_UNKNOWN_INTERFACE = InterfaceFacts(0, "unknown", 1)
_UNKNOWN_PROCESS = PacketProcess(None, None, None, None)
_TIMESTAMP: Final = abi.SkbDataEvent._fields.index("ts")


@dataclass(slots=True)
class _Owner:
    """The process that a socket_owner_event_t tells."""

    timestamp_ns: int
    process: PacketProcess
    wanted: bool


class _Held(NamedTuple):
    """Samples of packets. timestamp_ns: of the last one."""

    timestamp_ns: int
    samples: list[bytes]
    size: int


class PacketDecoder:
    """The packets of one session."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self.unattributed = 0
        self._context = context
        self._layout: EventLayout[abi.SkbDataEvent] | None = None
        self._owner_layout: EventLayout[abi.SocketOwnerEvent] | None = None
        self._packet_kind = b""
        self._owner_kind = -1
        self._interfaces: dict[int, InterfaceFacts] = {}
        self._counters: dict[int, tuple[int, int]] = {}
        self._containers: dict[int, str | None] = {}
        self._processes: dict[tuple[int, int, bytes], PacketProcess] = {}
        self._owners: dict[Flow, _Owner] = {}
        self._held: deque[_Held] = deque()
        self._held_bytes = 0

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("skb_data_event_t") and btf.struct("socket_owner_event_t"):
            self._layout = compile_layout(abi.SkbDataEvent, "skb_data_event_t", btf)
            self._owner_layout = compile_layout(abi.SocketOwnerEvent, "socket_owner_event_t", btf)
            kinds = abi.event_kinds(btf)
            self._packet_kind = struct.pack(f"{btf.byteorder}I", kinds[abi.PACKET])
            self._owner_kind = kinds[abi.SOCKET_OWNER]

    def add_interface(self, facts: InterfaceFacts, timestamp_ns: int) -> list[AnyEvent]:
        """The event that declares it."""
        self._interfaces[facts.ifindex] = facts
        return [self._interface_event(facts, timestamp_ns, 0, 0)]

    def add_container(self, facts: ContainerFacts) -> None:
        """Packets of the process say so from now on."""
        self._containers[facts.pid] = facts.container
        for key in [key for key in self._processes if key[0] == facts.pid]:
            del self._processes[key]

    def add_counters(self, record: InterfaceCounters) -> int:
        """How many packets were lost since the last counters."""
        before = sum(lost for _, lost in self._counters.values())
        self._counters |= record.counters
        return sum(lost for _, lost in self._counters.values()) - before

    def read(self, record: Packets) -> tuple[PacketBatch, int]:
        """The packets that have been held long enough, and how many samples were malformed."""
        malformed = self._take(record.samples, record.timestamp_ns) if record.samples else 0
        for flow, owner in list(self._owners.items()):
            if owner.timestamp_ns >= record.timestamp_ns - _OWNERS_KEPT_NS:
                break
            del self._owners[flow]
        batch, damaged = self._release(record.timestamp_ns - HELD_NS)
        return batch, malformed + damaged

    def finish(self, timestamp_ns: int) -> list[AnyEvent]:
        """What is still held, then the interfaces with their counts."""
        batch, damaged = self._release(None)
        events: list[AnyEvent] = list(batch)
        if damaged:
            events.append(self._context.loss("malformed", damaged, timestamp_ns))
        for ifindex, (packets, lost) in self._counters.items():
            facts = self._interfaces.get(ifindex, _UNKNOWN_INTERFACE)
            events.append(self._interface_event(facts, timestamp_ns, packets, lost))
        return events

    def _interface_event(self, facts: InterfaceFacts, timestamp_ns: int, packets: int, lost: int) -> InterfaceEvent:
        text = self._context.clock.text(timestamp_ns)
        return InterfaceEvent(text, timestamp_ns, facts.name, facts.link_type, packets, lost)

    def _take(self, samples: list[bytes], read_ns: int) -> int:
        """Hold packets, keep owners; how many samples are neither."""
        kind, malformed = self._packet_kind, 0
        packets = [sample for sample in samples if sample[:4] == kind]
        if len(packets) != len(samples):
            for sample in samples:
                if sample[:4] != kind and not self._read_owner(sample):
                    malformed += 1
        if packets and self._layout is not None:
            try:
                newest = self._layout.unpack_from(packets[-1])[_TIMESTAMP]
            except struct.error:
                newest = read_ns
            size = sum(map(len, packets))
            self._held.append(_Held(newest, packets, size))
            self._held_bytes += size
        return malformed

    def _read_owner(self, sample: bytes) -> bool:
        layout = self._owner_layout
        if layout is None or len(sample) < layout.size:
            return False
        told = abi.SocketOwnerEvent._make(layout.unpack_from(sample))
        if told.kind != self._owner_kind:
            return False
        flow = Flow(told.protocol, told.local_address, told.local_port, told.remote_address, told.remote_port)
        self._owners.pop(flow, None)  # so that the order stays that of time
        self._owners[flow] = _Owner(told.timestamp_ns, self._process(told.pid, told.uid, told.comm), bool(told.wanted))
        return True

    def _release(self, until_ns: int | None) -> tuple[PacketBatch, int]:
        """Packets up to a time, all if it is None; and how many samples were damaged."""
        rows: list[PacketRow] = []
        damaged = 0
        while self._held:
            newest = self._held[0].timestamp_ns
            if until_ns is not None and newest > until_ns and self._held_bytes <= _MOST_HELD_BYTES:
                break
            held = self._held.popleft()
            self._held_bytes -= held.size
            damaged += self._read_packets(held.samples, rows)
        self.count += len(rows)
        return PacketBatch(rows, self._context.clock.offset_ns), damaged

    def _read_packets(self, samples: list[bytes], rows: list[PacketRow]) -> int:
        """Appends those that are wanted, and tells how many samples were damaged.

        The loop that decides how many packets a second plainwire can keep.
        """
        layout = self._layout
        assert layout is not None
        unpack, start = layout.unpack_from, layout.size
        interfaces, processes, owners = self._interfaces, self._processes, self._owners
        filtered = self._context.settings.userspace_filter
        damaged = 0
        for sample in samples:
            try:
                _, ifindex, timestamp, pid, uid, length, captured, vlan, vlan_tci, flags, comm = unpack(sample)
            except struct.error:
                damaged += 1
                continue
            end = start + captured
            # A view costs more than a copy of few bytes, and less than one of many.
            data = sample[start:end] if captured < _WORTH_A_VIEW else memoryview(sample)[start:end]
            if len(data) != captured:
                damaged += 1
                continue
            if vlan:
                data = b"".join((data[:_MAC_ADDRESSES], struct.pack(">HH", vlan, vlan_tci), data[_MAC_ADDRESSES:]))
                length += _TAG_SIZE
            interface = interfaces.get(ifindex, _UNKNOWN_INTERFACE)
            outgoing = flags & _OUTGOING != 0
            wanted = flags & _WANTED
            process = processes.get((pid, uid, comm)) or self._process(pid, uid, comm)
            if owners and (not pid or flags & _INHERITED):
                flow = flow_of(data, interface.link_type, outgoing=outgoing)
                if flow is not None:
                    process, wanted = self._owner_of(flow, process, wanted)
            if not wanted and process.pid is not None:
                continue
            if filtered and not self._context.wanted(process.pid or 0, process.uid or 0, process.comm or ""):
                continue
            if process.pid is None:
                self.unattributed += 1
            rows.append((timestamp, interface, process, outgoing, length, data))
        return damaged

    def _owner_of(self, flow: Flow, process: PacketProcess, wanted: int) -> tuple[PacketProcess, int]:
        """What is known by now of a packet's process, and whether it is wanted."""
        owner = self._owners.get(flow)
        if owner is not None:
            process, wanted = owner.process, owner.wanted
        # On loopback it may be wanted for the sake of its receiver.
        receiver = self._owners.get(flow.reversed())
        return process, wanted or (receiver is not None and receiver.wanted)

    def _process(self, pid: int, uid: int, comm: bytes) -> PacketProcess:
        key = (pid, uid, comm)
        process = self._processes.get(key)
        if process is None:
            process = _UNKNOWN_PROCESS
            if pid:
                text = comm.split(b"\0")[0].decode("utf-8", "backslashreplace")
                process = PacketProcess(pid, uid, text, self._containers.get(pid))
            if len(self._processes) >= _MOST_PROCESSES:
                self._processes.clear()
            self._processes[key] = process
        return process
