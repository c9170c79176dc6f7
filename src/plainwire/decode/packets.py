"""Packets as the capture hands them out: the bytes, the interface and the process."""

from __future__ import annotations

import msgspec


class PacketProcess(msgspec.Struct, frozen=True, gc=False):
    """The process that sent or received a packet. `tid` is 0 where only the process is known.

    `container` is the container's id, None outside of one or where not known.
    """

    pid: int
    tid: int
    uid: int
    comm: str
    container: str | None = None


class Packet(msgspec.Struct, gc=False):
    """One packet on one interface.

    timestamp_ns: CLOCK_MONOTONIC. length: bytes on the wire; `data` is shorter where the capture cut it.
    """

    timestamp_ns: int
    ifindex: int
    outgoing: bool
    length: int
    data: bytes
    process: PacketProcess | None = None
