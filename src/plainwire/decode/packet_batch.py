"""Packets that were released together: rows for those who write hundreds of thousands a second, events for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from plainwire.decode.clock import WallClock
from plainwire.decode.records import InterfaceFacts
from plainwire.events import PacketEvent


@dataclass(frozen=True, slots=True, eq=False)
class PacketProcess:
    """The process of a packet, as in PacketEvent. One object serves all its packets, so it can be a quick key."""

    pid: int | None
    uid: int | None
    comm: str | None
    container: str | None


PacketRow = tuple[int, InterfaceFacts, PacketProcess, bool, int, bytes | memoryview]
"""CLOCK_MONOTONIC in ns, interface, process, whether it goes out, bytes on the wire, the bytes captured."""


class PacketBatch(Sequence[PacketEvent]):
    """A sequence of events that are made when they are asked for."""

    def __init__(self, rows: list[PacketRow], offset_ns: int) -> None:
        """offset_ns: from CLOCK_MONOTONIC to CLOCK_REALTIME."""
        self.rows = rows
        self.offset_ns = offset_ns

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> PacketEvent: ...
    @overload
    def __getitem__(self, index: slice) -> PacketBatch: ...
    def __getitem__(self, index: int | slice) -> PacketEvent | PacketBatch:
        if isinstance(index, slice):
            return PacketBatch(self.rows[index], self.offset_ns)
        return next(iter(PacketBatch([self.rows[index]], self.offset_ns)))

    def __iter__(self) -> Iterator[PacketEvent]:
        clock = WallClock()
        clock.set(0, self.offset_ns)
        for timestamp, interface, process, outgoing, length, data in self.rows:
            yield PacketEvent(
                clock.text(timestamp),
                timestamp,
                interface.name,
                interface.link_type,
                "out" if outgoing else "in",
                process.pid,
                process.uid,
                process.comm,
                process.container,
                length,
                bytes(data),
            )
