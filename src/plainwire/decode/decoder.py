"""Records in, events out: the part that live capture and `plainwire read` share. No I/O, no clock of its own."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.commands import KINDS as COMMAND_KINDS
from plainwire.decode.commands import CommandDecoder
from plainwire.decode.connections import KINDS as CONNECTION_KINDS
from plainwire.decode.connections import ConnectionDecoder
from plainwire.decode.context import Context
from plainwire.decode.data import KINDS as DATA_KINDS
from plainwire.decode.data import DataDecoder
from plainwire.decode.layout import SampleError
from plainwire.decode.packets import PacketDecoder
from plainwire.decode.records import (
    AnyRecord,
    Clock,
    ContainerFacts,
    End,
    Header,
    InterfaceCounters,
    InterfaceFacts,
    Layout,
    LibraryFacts,
    Losses,
    Packets,
    ProcessFacts,
    Samples,
)
from plainwire.decode.secret_events import SecretDecoder
from plainwire.decode.secrets import KINDS as SECRET_KINDS
from plainwire.decode.tls_states import KINDS as TLS_STATE_KINDS
from plainwire.decode.tls_states import TlsStateDecoder
from plainwire.events import AnyEvent, StatsEvent

_KIND = {"<": struct.Struct("<I"), ">": struct.Struct(">I")}


class Decoder:
    """A pure function of the records fed so far.

    Feed every record of a session, in order. Besides the kernel's counters, losses have the reasons "gap" (numbers of
    a connection's events jumped), "late" (an event came after it was given up as such a gap), "malformed" (a sample
    contradicts its structure), "unknown_kind" (the object does not name this kind of event) and
    "contradictory_secrets" (a connection's secrets do not follow from one another).
    """

    def __init__(self) -> None:
        self._started_ns = 0
        self._done = False
        self._context = Context()
        self._data = DataDecoder(self._context, self._other_sample)
        self._packets = PacketDecoder(self._context)
        self._secrets = SecretDecoder(self._context)
        self._connections = ConnectionDecoder(self._context)
        self._commands = CommandDecoder(self._context)
        self._tls_states = TlsStateDecoder(self._context)
        self._kinds: dict[int, str] = {}
        self._byteorder = "<"
        self._counters: dict[str, int] = {}
        # Events of a sample of a kind; they may raise SampleError.
        self._sample_readers: dict[str, Callable[[str, bytes], list[AnyEvent]]] = {
            **dict.fromkeys(SECRET_KINDS, self._secrets.read),
            **dict.fromkeys(CONNECTION_KINDS, self._connections.read),
            **dict.fromkeys(COMMAND_KINDS, self._commands.read),
            **dict.fromkeys(TLS_STATE_KINDS, self._tls_states.read),
        }
        self._handlers: dict[type, Callable[..., Sequence[AnyEvent]]] = {
            Samples: self._samples,
            Losses: self._kernel_losses,
            Clock: self._set_clock,
            ProcessFacts: self._add_process,
            LibraryFacts: self._add_library,
            Layout: self._add_layout,
            Packets: self._read_packets,
            InterfaceFacts: self._add_interface,
            ContainerFacts: self._add_container,
            InterfaceCounters: self._add_interface_counters,
            Header: self._begin,
            End: self._end,
        }

    @property
    def finished(self) -> bool:
        """max_events were given out, or the stats: nothing but stats will come."""
        return self._done or self._data.finished

    @property
    def waits_until(self) -> int | None:
        """When a Clock record would give events that are held now (CLOCK_MONOTONIC); None where none is."""
        return self._data.waits_until

    def feed(self, record: AnyRecord) -> Sequence[AnyEvent]:
        """The events that a record gives. Raises AbiMismatchError or BtfError for a Layout of another version."""
        if self._done:
            return []
        return self._handlers[type(record)](record)

    def cut(self) -> list[AnyEvent]:
        """The records end without End: the stats so far, marked as incomplete. Nothing after End."""
        return [] if self._done else self._stats(self._context.last_ns, complete=False)

    def _begin(self, header: Header) -> list[AnyEvent]:
        self._context.begin(header)
        self._started_ns = header.started_ns
        if header.settings.verify_keys:
            self._secrets.verify()
        return []

    def _add_layout(self, record: Layout) -> list[AnyEvent]:
        btf = Btf(record.btf)
        self._kinds |= {number: name for name, number in abi.event_kinds(btf).items()}
        self._byteorder = btf.byteorder
        if btf.struct("ssl_data_event_t"):
            self._context.default_library = (record.module, None)
        for decoder in (self._data, self._secrets, self._connections, self._tls_states, self._packets, self._commands):
            decoder.add_layout(btf)
        return []

    def _set_clock(self, record: Clock) -> list[AnyEvent]:
        events = self._data.release(record.monotonic_ns)
        self._context.clock.set(record.monotonic_ns, record.realtime_ns)
        return events

    def _add_library(self, record: LibraryFacts) -> list[AnyEvent]:
        self._context.add_library(record)
        return []

    def _add_process(self, record: ProcessFacts) -> list[AnyEvent]:
        self._context.processes.add(record)
        return []

    def _kernel_losses(self, record: Losses) -> list[AnyEvent]:
        self._context.last_ns = record.timestamp_ns
        events: list[AnyEvent] = []
        for reason, total in record.counters.items():
            grown = total - self._counters.get(reason, 0)
            if grown > 0:
                self._counters[reason] = total
                events.append(self._context.loss(reason, grown))
        return events

    def _add_interface(self, record: InterfaceFacts) -> list[AnyEvent]:
        return self._packets.add_interface(record, self._context.last_ns)

    def _add_container(self, record: ContainerFacts) -> list[AnyEvent]:
        self._packets.add_container(record)
        return []

    def _add_interface_counters(self, record: InterfaceCounters) -> list[AnyEvent]:
        lost = self._packets.add_counters(record)
        return [self._context.loss("packet_buffer_full", lost, record.timestamp_ns)] if lost else []

    def _read_packets(self, record: Packets) -> Sequence[AnyEvent]:
        packets, malformed = self._packets.read(record)
        if malformed:
            return [*packets, self._context.loss("malformed", malformed, record.timestamp_ns)]
        return packets

    def _samples(self, record: Samples) -> list[AnyEvent]:
        return self._data.read(record.samples)

    def _other_sample(self, sample: bytes) -> list[AnyEvent]:
        """A sample that is no data event, or a damaged one. Kinds that nobody reads here are passed over."""
        if len(sample) < 4:
            return [self._context.loss("malformed")]
        kind = self._kinds.get(_KIND[self._byteorder].unpack_from(sample)[0])
        if kind is None:
            self._context.losses["unknown_kind"] += 1
        elif kind in DATA_KINDS:
            return [self._context.loss("malformed")]
        elif kind in self._sample_readers:
            try:
                return self._sample_readers[kind](kind, sample)
            except SampleError:
                return [self._context.loss("malformed")]
        return []

    def _end(self, record: End) -> list[AnyEvent]:
        return self._stats(record.timestamp_ns, complete=True)

    def _stats(self, timestamp_ns: int, *, complete: bool) -> list[AnyEvent]:
        held = self._data.release(None)
        self._done = True
        context = self._context
        running = self._commands.finish()
        return [
            *held,
            *running,
            *self._secrets.finish(),
            *self._packets.finish(timestamp_ns),
            StatsEvent(
                time=context.clock.text(timestamp_ns),
                timestamp_ns=timestamp_ns,
                duration_ns=timestamp_ns - self._started_ns,
                events=self._data.events,
                bytes=self._data.bytes,
                processes=context.process_count,
                connections=self._data.connections,
                secrets=self._secrets.count,
                secrets_verified=self._secrets.confirmed,
                packets=self._packets.count,
                packets_unattributed=self._packets.unattributed,
                commands=self._commands.count,
                losses=dict(context.losses),
                complete=complete,
            ),
        ]
