"""Samples of the calls that move plaintext in, data events out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Literal

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.clock import SECOND
from plainwire.decode.context import Context
from plainwire.decode.layout import EventLayout, compile_layout
from plainwire.decode.names import bio_types, tls_versions
from plainwire.decode.ordering import NEVER, Ordering
from plainwire.decode.sequences import UNKNOWN, ConnectionTable
from plainwire.events import AnyEvent, DataEvent, LossEvent

KINDS = frozenset({abi.SSL_DATA, abi.GO_TLS_DATA})
_DIRECTIONS: tuple[Literal["read"], Literal["write"]] = ("read", "write")
_TENTH = SECOND // 10
Note = Literal["unreadable", "length only"] | None


class DataDecoder:
    """The data events of one session. `other` gives the events of a sample that is of another kind, or damaged."""

    def __init__(self, context: Context, other: Callable[[bytes], list[AnyEvent]]) -> None:
        self.finished = False  # max_events were given out
        self.events = 0
        self.bytes = 0
        self._context = context
        self._other = other
        self._connections = ConnectionTable()
        self._ordering = Ordering(self._connections)
        self._versions, self._bio_types = tls_versions(), bio_types()
        self._kind = self._go_kind = -1
        self._layout: EventLayout[abi.SslDataEvent] | None = None

    @property
    def connections(self) -> int:
        """How many were seen."""
        return self._connections.count

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("ssl_data_event_t"):
            kinds = abi.event_kinds(btf)
            self._layout = compile_layout(abi.SslDataEvent, "ssl_data_event_t", btf)
            self._context.ends.layout = compile_layout(abi.ConnectionFields, "connection_t", btf)
            self._kind = kinds.get(abi.SSL_DATA, -1)
            self._go_kind = kinds.get(abi.GO_TLS_DATA, -1)

    def read(self, samples: Iterable[bytes]) -> list[AnyEvent]:
        """The loop that everything else is built around: about 1.5 µs an event, so names are locals."""
        events: list[AnyEvent] = []
        layout, other, context = self._layout, self._other, self._context
        if self.finished:
            return events
        if layout is None:
            for sample in samples:
                events += other(sample)
            return events
        go_kind = self._go_kind
        unpack, data_kind, data_offset = layout.unpack_from, self._kind, layout.size
        clock = context.clock
        prefix, second_ns = clock.prefix, clock.second_ns
        numbers_of, latest = self._connections.young, context.processes.latest
        ends_of = context.ends
        texts, versions, bio_names = context.texts, self._versions, self._bio_types
        libraries, default_library = context.libraries, context.default_library
        filtered, limit = context.settings.userspace_filter, context.settings.max_events
        missing_bytes = struct.error
        count, size, last = self.events, self.bytes, context.last_ns
        ordering, held = self._ordering, self._ordering.held
        sources = [iter(samples)]  # the last one is read first
        while sources:
            for sample in sources[-1]:
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
                        context.last_ns = last
                        events += other(sample)
                        continue
                    direction ^= 1  # enum gotls_event_type; all else is as in ssl_data_event_t
                data = sample[data_offset : data_offset + data_len]
                if len(data) != data_len or direction > 1:
                    events.append(context.loss("malformed", timestamp_ns=last))
                    continue
                last = timestamp
                ns = timestamp - second_ns
                if _TENTH <= ns < SECOND:  # nine digits without a leading zero: the fastest form
                    time = f"{prefix}{ns}Z"
                else:
                    time = clock.text(timestamp)
                    prefix, second_ns = clock.prefix, clock.second_ns
                if timestamp >= ordering.due:
                    sources.append(iter([*ordering.overdue(timestamp), sample]))
                    break
                name = texts[comm]
                if filtered and not context.wanted(pid, uid, name):
                    continue
                key = (pid, ssl)
                numbers = numbers_of.get(key)
                if numbers is None:
                    numbers = self._new_connection(key)
                missing = 0
                if numbers[direction] == sequence:
                    numbers[direction] = sequence + 1
                else:
                    place = ordering.place((pid, ssl, direction), numbers, sequence, timestamp, sample)
                    if place.again:
                        sources.append(iter(place.again))
                        break
                    if place.again is not None:
                        continue
                    missing = place.missing
                    if missing:
                        context.losses["gap"] += missing
                        events.append(LossEvent(time, timestamp, "gap", missing, pid, ssl, _DIRECTIONS[direction]))
                    elif place.late:
                        context.losses["gap"] -= 1
                        context.losses["late"] += 1
                        events.append(LossEvent(time, timestamp, "late", 1, pid, ssl, _DIRECTIONS[direction]))
                program = latest.get(pid)
                if program is None or timestamp < program.since_ns:
                    program = context.processes.at(pid, timestamp)
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
                        program.container,
                        program.namespace_pid,
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
                    sources.clear()
                    break
                if held and (pid, ssl, direction) in held:
                    sources.append(iter(ordering.following((pid, ssl, direction), numbers[direction])))
                    break
            else:
                sources.pop()
        self.events, self.bytes, context.last_ns = count, size, last
        return events

    @property
    def waits_until(self) -> int | None:
        """When events that are held can be given out (CLOCK_MONOTONIC); None where none is."""
        return None if self._ordering.due == NEVER else self._ordering.due

    def release(self, now_ns: int | None) -> list[AnyEvent]:
        """The events that have been held long enough; all of them if the time is None."""
        if now_ns is None:
            return self.read(self._ordering.all())
        return self.read(self._ordering.overdue(now_ns)) if now_ns >= self._ordering.due else []

    def _new_connection(self, key: tuple[int, int]) -> list[int]:
        self._context.count_process(key[0])
        # A process that takes a name asked for may have had connections before, whose events were filtered out.
        settings = self._context.settings
        return self._connections.enter(key, UNKNOWN if settings.comms and settings.userspace_filter else 0)


def _flags(flags: int, data_len: int, call_length: int, unsent: int) -> tuple[int, bool, bool, Note]:
    """length, truncated, early_data and note of an event with enum ssl_data_flag set."""
    note: Note = None
    length = data_len
    if flags & abi.SSL_DATA_UNREADABLE:
        note, length = "unreadable", unsent
    if flags & abi.SSL_DATA_LENGTH_ONLY:
        note, length = "length only", call_length
    return length, bool(flags & abi.SSL_DATA_TRUNCATED), bool(flags & abi.SSL_DATA_EARLY), note
