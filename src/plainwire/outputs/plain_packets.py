"""Plaintext as packets: each TLS connection becomes a synthetic TCP connection that carries what was inside.

Any tool that reads captures then shows HTTP without keys, also for connections whose packets nobody captured. Addresses
and ports are the real ones, but for HTTP/2: readers look for it on port 80 alone where there is no TLS, so that is the
server's port then, and each packet's note tells the real one. Sequence numbers count plaintext bytes; checksums are
right. A segment carries what one event carried, up to 16 KiB, as a capture on a host with segmentation offload does.
Bytes that were lost leave a hole in the sequence numbers, which readers report as a segment that was not captured.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

from plainwire.events import DataEvent

Endpoint = tuple[str, int]
"""Address and port."""

_FIN: Final = 0x01
_SYN: Final = 0x02
_PSH: Final = 0x08
_ACK: Final = 0x10
_TCP: Final = 6
_TCP_HEADER: Final = struct.Struct(">HHIIBBHHH")  # RFC 9293, section 3.1
_SEQUENCE_MASK: Final = 0xFFFFFFFF
_MOST_CONNECTIONS: Final = 65536
"""At once; beyond, the oldest is forgotten and begins anew when it goes on."""
_HTTP_PORT: Final = 80
_HTTPS_PORT: Final = 443
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0"
_DYNAMIC_PORTS: Final = range(49152, 65536)  # RFC 6335, section 6


class PlainPacket(msgspec.Struct, gc=False):
    """An IP packet without a link-layer header. `outgoing`: sent by the captured process. `note`: what is amiss."""

    outgoing: bool
    data: bytes
    note: str | None = None


class _Direction(msgspec.Struct):
    """One side's bytes of a connection."""

    next_sequence: int  # of TCP
    events: int = 0
    rest_of_call: int = 0  # bytes of the call last seen that no event has brought yet


class _Connection(msgspec.Struct):
    ends: tuple[Endpoint, Endpoint]  # local and remote as they are; the two that follow are as they are shown
    local: Endpoint
    remote: Endpoint
    is_server: bool
    note: str | None  # what is amiss with all of its packets
    write: _Direction
    read: _Direction


class PlainPackets:
    """Makes the packets. Where both ends of a connection run on this host, the end that was seen first gives them."""

    def __init__(self) -> None:
        self._connections: dict[tuple[int, int], _Connection] = {}
        self._owners: dict[frozenset[Endpoint], tuple[int, int]] = {}

    def data(self, event: DataEvent, local: Endpoint | None, remote: Endpoint | None) -> list[PlainPacket]:
        """The packets for one event: the handshake before the first, then one segment.

        Where the ends are not known, addresses of the documentation prefix 2001:db8::/32 stand for them. Empty for the
        second end of a connection.
        """
        key = (event.pid, event.ssl)
        connection = self._connections.get(key)
        packets: list[PlainPacket] = []
        if connection is None or _is_another(connection, event, local, remote):
            connection = self._open(key, event, local, remote)
            if connection is None:
                return []
            packets = list(_handshake(connection))
        outgoing = event.direction == "write"
        direction = connection.write if outgoing else connection.read
        note = connection.note
        if event.offset == 0 and direction.rest_of_call:
            direction.next_sequence += direction.rest_of_call
            note = _with(note, f"{direction.rest_of_call} bytes missing before this packet")
        elif event.missing:
            # How many bytes they had is not known; one is enough for readers to see the hole.
            direction.next_sequence += 1
            note = _with(note, f"{event.missing} events missing before this packet")
        if event.data:
            packets.append(PlainPacket(outgoing, _packet(connection, outgoing, _PSH | _ACK, event.data), note))
        direction.next_sequence = (direction.next_sequence + event.length) & _SEQUENCE_MASK
        direction.rest_of_call = max(0, event.call_length - event.offset - event.length)
        direction.events = event.sequence + 1
        return packets

    def close(self, pid: int, ssl: int) -> list[PlainPacket]:
        """The packets that end a connection: what lasts until the end, such as HTTP/1.0 bodies, is then complete."""
        connection = self._connections.pop((pid, ssl), None)
        if connection is None:
            return []
        ends = frozenset(connection.ends)
        if self._owners.get(ends) == (pid, ssl):
            del self._owners[ends]
        packets = []
        for outgoing in (True, False):
            packets.append(PlainPacket(outgoing, _packet(connection, outgoing, _FIN | _ACK, b"")))
            direction = connection.write if outgoing else connection.read
            direction.next_sequence += 1
        packets.append(PlainPacket(True, _packet(connection, True, _ACK, b"")))
        return packets

    def _open(
        self, key: tuple[int, int], event: DataEvent, local: Endpoint | None, remote: Endpoint | None
    ) -> _Connection | None:
        note = None
        if local is None or remote is None:
            note = "addresses not known"
            # 64 bits of address hold the pointer, the 16 before them the lower half of the pid.
            prefix = (0x20010DB8 << 96) | (event.pid & 0xFFFF) << 64
            port = _DYNAMIC_PORTS[event.pid % len(_DYNAMIC_PORTS)]
            local = (str(IPv6Address(prefix | event.ssl)), port)
            remote = (str(IPv6Address(prefix | 1 << 80 | event.ssl)), _HTTPS_PORT)
        ends = (local, remote)
        owner = self._owners.get(frozenset(ends))
        if owner is not None and owner != key and self._connections[owner].ends == (remote, local):
            return None
        self._owners[frozenset(ends)] = key
        if len(self._connections) >= _MOST_CONNECTIONS:
            self.close(*next(iter(self._connections)))
        # Servers listen on the lower port. Where the ports say nothing, the client is who speaks first.
        is_server = local[1] < remote[1] or (local[1] == remote[1] and event.direction == "read")
        if _is_http2(event.data):
            note = _with(
                note, f"HTTP/2, shown on port {_HTTP_PORT}: the server's is {(local if is_server else remote)[1]}"
            )
            if is_server:
                local = (local[0], _HTTP_PORT)
            else:
                remote = (remote[0], _HTTP_PORT)
        # By the clock, as RFC 6528 wants it: a later connection between the same ends is told apart by it.
        first = (event.timestamp_ns >> 10) & _SEQUENCE_MASK
        connection = _Connection(ends, local, remote, is_server, note, _Direction(first), _Direction(first))
        self._connections[key] = connection
        return connection


def _is_http2(data: bytes) -> bool:
    """Whether a connection that begins with these bytes is HTTP/2 (RFC 9113, section 3.4).

    The client begins with the preface, a server that speaks first with a SETTINGS frame on stream 0.
    """
    return data.startswith(_HTTP2_PREFACE) or data[3:9] == b"\x04\0\0\0\0\0"


def _is_another(connection: _Connection, event: DataEvent, local: Endpoint | None, remote: Endpoint | None) -> bool:
    """Whether the process uses the address of an SSL structure for a new connection."""
    if local is not None and remote is not None and (local, remote) != connection.ends:
        return True
    direction = connection.write if event.direction == "write" else connection.read
    return event.sequence - event.missing < direction.events


def _handshake(connection: _Connection) -> Iterator[PlainPacket]:
    """RFC 9293, section 3.5: SYN, SYN and ACK, ACK."""
    by_client = not connection.is_server
    client, server = connection.write, connection.read
    if connection.is_server:
        client, server = server, client
    yield PlainPacket(by_client, _packet(connection, by_client, _SYN, b""))
    client.next_sequence += 1
    yield PlainPacket(not by_client, _packet(connection, not by_client, _SYN | _ACK, b""))
    server.next_sequence += 1
    yield PlainPacket(by_client, _packet(connection, by_client, _ACK, b""))


def _packet(connection: _Connection, outgoing: bool, flags: int, payload: bytes) -> bytes:
    source, destination = connection.local, connection.remote
    sender, receiver = connection.write, connection.read
    if not outgoing:
        source, destination, sender, receiver = destination, source, receiver, sender
    acknowledged = receiver.next_sequence & _SEQUENCE_MASK if flags & _ACK else 0
    segment = (
        _TCP_HEADER.pack(
            source[1], destination[1], sender.next_sequence & _SEQUENCE_MASK, acknowledged, 5 << 4, flags, 65535, 0, 0
        )
        + payload
    )
    source_address, destination_address = _address(source[0]), _address(destination[0])
    addresses = source_address.packed + destination_address.packed
    pseudo_header = addresses + struct.pack(">II", len(segment), _TCP)  # RFC 9293 and 8200: the same sum
    checksum = _checksum(pseudo_header + segment)
    segment = segment[:16] + checksum.to_bytes(2, "big") + segment[18:]
    if source_address.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), _TCP, 64) + addresses + segment
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, _TCP, 0) + addresses
    return header[:10] + _checksum(header).to_bytes(2, "big") + header[12:] + segment


def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _checksum(data: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum, which is the remainder by 0xffff."""
    if len(data) & 1:
        data += b"\0"
    return (0xFFFF - int.from_bytes(data, "big") % 0xFFFF) % 0xFFFF


def _with(note: str | None, more: str) -> str:
    return f"{note}; {more}" if note else more
