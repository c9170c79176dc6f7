"""Records in, events out: the part that live capture and `plainwire read` share. No I/O, no clock of its own."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Literal

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.clock import SECOND, WallClock
from plainwire.decode.ends import Ends
from plainwire.decode.layout import EventLayout, SampleError
from plainwire.decode.names import Texts, bio_types, tls_versions
from plainwire.decode.packets import PacketDecoder
from plainwire.decode.processes import ProcessTable
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
    Settings,
)
from plainwire.decode.secret_check import SecretCheck
from plainwire.decode.secrets import KINDS as SECRET_KINDS
from plainwire.decode.secrets import ContradictionError, Secret, SecretReader
from plainwire.decode.sequences import UNKNOWN, ConnectionTable
from plainwire.events import AnyEvent, DataEvent, LossEvent, SecretEvent, StatsEvent

_DIRECTIONS: tuple[Literal["read"], Literal["write"]] = ("read", "write")
_TENTH = SECOND // 10
# Processes that were counted; beyond so many, some may be counted twice.
_MAX_PIDS = 1 << 18
_KIND = {"<": struct.Struct("<I"), ">": struct.Struct(">I")}
Note = Literal["unreadable", "length only"] | None


class Decoder:
    """A pure function of the records fed so far.

    Feed every record of a session, in order. Besides the kernel's counters, losses have the reasons "gap" (numbers of
    a connection's events jumped), "malformed" (a sample contradicts its structure), "unknown_kind" (the object does
    not name this kind of event) and "contradictory_secrets" (a connection's secrets do not follow from one another).
    """

    def __init__(self) -> None:
        self.finished = False  # max_events were given out, or the stats: nothing but stats will come
        self._settings = Settings()
        self._comms: frozenset[str] = frozenset()
        self._started_ns = 0
        self._last_ns = 0
        self._done = False
        self._clock = WallClock()
        self._processes = ProcessTable()
        self._connections = ConnectionTable()
        self._ends = Ends()
        self._packets = PacketDecoder(self._clock, self._wanted_packet)
        self._libraries: dict[int, tuple[str, str | None]] = {}
        self._default_library: tuple[str, str | None] = ("", None)
        self._texts, self._versions, self._bio_types = Texts(), tls_versions(), bio_types()
        self._known_kinds: dict[int, str] = {}
        self._byteorder = "<"
        self._data_kind = -1
        self._go_data_kind = -1
        self._data_layout: EventLayout[abi.SslDataEvent] | None = None
        self._process_layout: EventLayout[abi.ProcessEvent] | None = None
        self._secrets = SecretReader()
        self._secret_check: SecretCheck | None = None
        self._pids: set[int] = set()
        self._process_count = 0
        self._events = 0
        self._bytes = 0
        self._secret_count = 0
        self._counters: dict[str, int] = {}
        self._losses: Counter[str] = Counter()
        self._handlers: dict[type, Callable[..., list[AnyEvent]]] = {
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

    def feed(self, record: AnyRecord) -> list[AnyEvent]:
        """The events that a record gives. Raises AbiMismatchError or BtfError for a Layout of another version."""
        if self._done:
            return []
        return self._handlers[type(record)](record)

    def cut(self) -> list[AnyEvent]:
        """The records end without End: the stats so far, marked as incomplete. Nothing after End."""
        return [] if self._done else self._stats(self._last_ns, complete=False)

    def _begin(self, header: Header) -> list[AnyEvent]:
        self._settings = header.settings
        names = (comm.encode("utf-8", "surrogateescape") for comm in header.settings.comms)
        self._comms = frozenset(name[:15].decode("utf-8", "replace") for name in names)  # as the kernel cuts them
        self._started_ns = self._last_ns = header.started_ns
        if header.settings.verify_keys:
            self._secret_check = SecretCheck()
        return []

    def _add_layout(self, record: Layout) -> list[AnyEvent]:
        btf = Btf(record.btf)
        kinds = abi.event_kinds(btf)
        self._known_kinds |= {number: name for name, number in kinds.items()}
        self._byteorder = btf.byteorder
        if btf.struct("ssl_data_event_t"):
            self._data_layout = abi.ssl_data_layout(btf)
            self._ends.layout = abi.connection_layout(btf)
            self._data_kind = kinds.get(abi.SSL_DATA, -1)
            self._go_data_kind = kinds.get(abi.GO_TLS_DATA, -1)
            self._default_library = (record.module, None)
        if btf.struct("process_event_t"):
            self._process_layout = abi.process_layout(btf)
        self._secrets.add_layout(btf)
        self._packets.add_layout(btf)
        return []

    def _set_clock(self, record: Clock) -> list[AnyEvent]:
        self._clock.set(record.monotonic_ns, record.realtime_ns)
        return []

    def _add_library(self, record: LibraryFacts) -> list[AnyEvent]:
        self._libraries[record.id] = (record.module, record.path)
        return []

    def _add_process(self, record: ProcessFacts) -> list[AnyEvent]:
        self._processes.add(record)
        return []

    def _kernel_losses(self, record: Losses) -> list[AnyEvent]:
        self._last_ns = record.timestamp_ns
        events: list[AnyEvent] = []
        for reason, total in record.counters.items():
            grown = total - self._counters.get(reason, 0)
            if grown > 0:
                self._counters[reason] = total
                events.append(self._loss(record.timestamp_ns, reason, grown))
        return events

    def _loss(self, timestamp_ns: int, reason: str, count: int) -> LossEvent:
        self._losses[reason] += count
        return LossEvent(self._clock.text(timestamp_ns), timestamp_ns, reason, count)

    def _add_interface(self, record: InterfaceFacts) -> list[AnyEvent]:
        return self._packets.add_interface(record, self._last_ns)

    def _add_container(self, record: ContainerFacts) -> list[AnyEvent]:
        self._packets.add_container(record)
        return []

    def _add_interface_counters(self, record: InterfaceCounters) -> list[AnyEvent]:
        lost = self._packets.add_counters(record)
        return [self._loss(record.timestamp_ns, "packet_buffer_full", lost)] if lost else []

    def _read_packets(self, record: Packets) -> list[AnyEvent]:
        events, malformed = self._packets.read(record)
        if malformed:
            events.append(self._loss(record.timestamp_ns, "malformed", malformed))
        return events

    def _wanted_packet(self, pid: int, uid: int, comm: str) -> bool:
        return not self._settings.userspace_filter or self._wanted(pid, uid, comm)

    def _end(self, record: End) -> list[AnyEvent]:
        return self._stats(record.timestamp_ns, complete=True)

    def _stats(self, timestamp_ns: int, *, complete: bool) -> list[AnyEvent]:
        self._done = self.finished = True
        unverified = self._secret_check.rest() if self._secret_check else []
        return [
            *map(self._secret, unverified),
            *self._packets.finish(timestamp_ns),
            StatsEvent(
                time=self._clock.text(timestamp_ns),
                timestamp_ns=timestamp_ns,
                duration_ns=timestamp_ns - self._started_ns,
                events=self._events,
                bytes=self._bytes,
                processes=self._process_count,
                connections=self._connections.count,
                secrets=self._secret_count,
                secrets_verified=self._secret_check.confirmed if self._secret_check else 0,
                packets=self._packets.count,
                packets_unattributed=self._packets.unattributed,
                losses=dict(self._losses),
                complete=complete,
            ),
        ]

    def _samples(self, record: Samples) -> list[AnyEvent]:
        """The loop that everything else is built around: about 1.5 µs an event, so names are locals."""
        events: list[AnyEvent] = []
        layout = self._data_layout
        if self.finished:
            return events
        if layout is None:
            for sample in record.samples:
                self._other_sample(sample, self._last_ns, events)
            return events
        go_kind = self._go_data_kind
        unpack, data_kind, data_offset = layout.unpack_from, self._data_kind, layout.size
        clock, prefix, second_ns = self._clock, self._clock.prefix, self._clock.second_ns
        numbers_of, latest = self._connections.young, self._processes.latest
        ends_of = self._ends
        texts, versions, bio_names = self._texts, self._versions, self._bio_types
        libraries, default_library = self._libraries, self._default_library
        filtered, limit = self._settings.userspace_filter, self._settings.max_events
        missing_bytes = struct.error
        count, size, last = self._events, self._bytes, self._last_ns
        for sample in record.samples:
            try:
                (
                    kind,
                    direction,
                    timestamp,
                    pid,
                    tid,
                    uid,
                    library,
                    ssl,
                    sequence,
                    call_length,
                    offset,
                    flags,
                    fd,
                    version,
                    bio_type,
                    data_len,
                    connection,
                    comm,
                    thread_comm,
                ) = unpack(sample)
            except missing_bytes:
                kind = -1
            if kind != data_kind:
                if kind != go_kind:
                    self._other_sample(sample, last, events)
                    continue
                direction ^= 1  # enum gotls_event_type; all else is as in ssl_data_event_t
            data = sample[data_offset : data_offset + data_len]
            if len(data) != data_len or direction > 1:
                events.append(self._loss(last, "malformed", 1))
                continue
            last = timestamp
            ns = timestamp - second_ns
            if _TENTH <= ns < SECOND:  # nine digits without a leading zero: the fastest form
                time = f"{prefix}{ns}Z"
            else:
                time = clock.text(timestamp)
                prefix, second_ns = clock.prefix, clock.second_ns
            name = texts[comm]
            if filtered and not self._wanted(pid, uid, name):
                continue
            key = (pid, ssl)
            numbers = numbers_of.get(key)
            if numbers is None:
                numbers = self._new_connection(key)
            missing = 0
            if numbers[direction] == sequence:
                numbers[direction] = sequence + 1
            else:
                missing = self._connections.jump(numbers, direction, sequence)
                if missing:
                    self._losses["gap"] += missing
                    events.append(LossEvent(time, timestamp, "gap", missing, pid, ssl, _DIRECTIONS[direction]))
            program = latest.get(pid)
            if program is None or timestamp < program.since_ns:
                program = self._processes.at(pid, timestamp)
            ends, why_unknown = ends_of[connection]
            module, path = libraries.get(library, default_library)
            length, truncated, early_data, note = data_len, False, False, None
            if flags:
                unsent = min(max(call_length - offset, 0), layout.payload_capacity)
                length, truncated, early_data, note = _flags(flags, data_len, call_length, unsent)
            events.append(
                DataEvent(
                    time,
                    timestamp,
                    module,
                    _DIRECTIONS[direction],
                    pid,
                    tid,
                    uid,
                    name,
                    texts[thread_comm],
                    program.exe,
                    program.cmdline,
                    path,
                    ssl,
                    fd if fd >= 0 else None,
                    versions[version],
                    bio_names[bio_type],
                    ends,
                    why_unknown,
                    sequence,
                    missing,
                    call_length,
                    offset,
                    length,
                    truncated,
                    early_data,
                    note,
                    data,
                )
            )
            size += data_len
            count += 1
            if count == limit:
                self.finished = True
                break
        self._events, self._bytes, self._last_ns = count, size, last
        return events

    def _new_connection(self, key: tuple[int, int]) -> list[int]:
        if key[0] not in self._pids:
            if len(self._pids) >= _MAX_PIDS:
                self._pids.clear()
            self._pids.add(key[0])
            self._process_count += 1
        # A process that takes a name asked for may have had connections before, whose events were filtered out.
        return self._connections.enter(key, UNKNOWN if self._comms and self._settings.userspace_filter else 0)

    def _wanted(self, pid: int, uid: int, comm: str) -> bool:
        settings = self._settings
        return (
            (not settings.pids or pid in settings.pids)
            and (settings.uid is None or uid == settings.uid)
            and (not self._comms or comm in self._comms)
        )

    def _other_sample(self, sample: bytes, last_ns: int, events: list[AnyEvent]) -> None:
        """A sample that is no data: process events, kinds that others read, and what is malformed."""
        if len(sample) < 4:
            events.append(self._loss(last_ns, "malformed", 1))
            return
        kind = self._known_kinds.get(_KIND[self._byteorder].unpack_from(sample)[0])
        if kind is None:
            self._losses["unknown_kind"] += 1
        elif kind in (abi.PROCESS_FORK, abi.PROCESS_EXIT) and self._process_layout is not None:
            try:
                event = self._process_layout.read(sample)
            except SampleError:
                events.append(self._loss(last_ns, "malformed", 1))
                return
            if kind == abi.PROCESS_FORK:
                self._processes.fork(event.pid, event.parent_pid, event.timestamp_ns)
            else:
                self._processes.exit(event.pid)
                self._pids.discard(event.pid)
        elif kind in SECRET_KINDS:
            self._take_secrets(kind, sample, last_ns, events)
        elif kind in (abi.SSL_DATA, abi.GO_TLS_DATA):
            events.append(self._loss(last_ns, "malformed", 1))

    def _take_secrets(self, kind: str, sample: bytes, last_ns: int, events: list[AnyEvent]) -> None:
        try:
            secrets = self._secrets.read(kind, sample)
        except SampleError:
            events.append(self._loss(last_ns, "malformed", 1))
        except ContradictionError:
            events.append(self._loss(last_ns, "contradictory_secrets", 1))
        else:
            for secret in secrets:
                if self._wants(secret):
                    self._check_secret(secret, last_ns, events)

    def _check_secret(self, secret: Secret, last_ns: int, events: list[AnyEvent]) -> None:
        if self._secret_check is None:
            events.append(self._secret(secret))
            return
        try:
            events += [self._secret(checked) for checked in self._secret_check.add(secret)]
        except ContradictionError:
            events.append(self._loss(last_ns, "contradictory_secrets", 1))

    def _wants(self, secret: Secret) -> bool:
        if not self._settings.userspace_filter:
            return True
        return self._wanted(secret.pid, secret.uid, self._texts[secret.comm])

    def _secret(self, secret: Secret) -> SecretEvent:
        self._secret_count += 1
        if secret.pid not in self._pids:
            self._pids.add(secret.pid)
            self._process_count += 1
        program = self._processes.at(secret.pid, secret.timestamp_ns)
        module, path = self._libraries.get(secret.library, self._default_library)
        return SecretEvent(
            self._clock.text(secret.timestamp_ns),
            secret.timestamp_ns,
            module,
            secret.pid,
            secret.tid,
            secret.uid,
            self._texts[secret.comm],
            program.exe,
            program.cmdline,
            path,
            secret.label,
            secret.client_random.hex(),
            secret.secret.hex(),
            secret.way,
        )


def _flags(flags: int, data_len: int, call_length: int, unsent: int) -> tuple[int, bool, bool, Note]:
    """length, truncated, early_data and note of an event with enum ssl_data_flag set."""
    note: Note = None
    length = data_len
    if flags & abi.SSL_DATA_UNREADABLE:
        note, length = "unreadable", unsent
    if flags & abi.SSL_DATA_LENGTH_ONLY:
        note, length = "length only", call_length
    return length, bool(flags & abi.SSL_DATA_TRUNCATED), bool(flags & abi.SSL_DATA_EARLY), note
