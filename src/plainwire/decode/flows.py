"""Which flow a packet belongs to, from its bytes (RFC 791, 8200, 9293, 768). As bpf/flow.bpf.h, for TCP and UDP."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

_ETHERNET: Final = 1  # LINKTYPE_ETHERNET
_TYPE_OFFSET: Final = 12
_VLAN_TYPES: Final = frozenset({0x8100, 0x88A8})
_IPV4, _IPV6 = 0x0800, 0x86DD
_MAPPED: Final = bytes(10) + b"\xff\xff"
_WITH_PORTS: Final = frozenset({6, 17})  # TCP, UDP
_EXTENSIONS: Final = frozenset({0, 43, 60})  # hop-by-hop options, routing, destination options
_PORTS = struct.Struct(">HH")


class Flow(NamedTuple):
    """Addresses of 16 bytes, those of IPv4 mapped into IPv6."""

    protocol: int
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int

    def reversed(self) -> Flow:
        """The flow as its other end sees it."""
        return Flow(self.protocol, self.remote_address, self.remote_port, self.local_address, self.local_port)


def flow_of(packet: bytes | memoryview, link_type: int, *, outgoing: bool) -> Flow | None:
    """None where the packet has no ports, or is too short to tell."""
    offset = 0
    if link_type == _ETHERNET:
        offset = _TYPE_OFFSET
        while int.from_bytes(packet[offset : offset + 2]) in _VLAN_TYPES:
            offset += 4
        offset += 2
    version = packet[offset] >> 4 if offset < len(packet) else 0
    if version == 4:
        found = _ipv4(packet, offset)
    elif version == 6:
        found = _ipv6(packet, offset)
    else:
        return None
    if found is None or found[0] not in _WITH_PORTS or len(packet) < found[1] + _PORTS.size:
        return None
    protocol, transport, source, destination = found
    source_port, destination_port = _PORTS.unpack_from(packet, transport)
    if outgoing:
        return Flow(protocol, source, source_port, destination, destination_port)
    return Flow(protocol, destination, destination_port, source, source_port)


def _ipv4(packet: bytes | memoryview, offset: int) -> tuple[int, int, bytes, bytes] | None:
    """Protocol, where its header begins, source and destination."""
    if len(packet) < offset + 20 or int.from_bytes(packet[offset + 6 : offset + 8]) & 0x1FFF:
        return None  # only the first fragment has ports
    addresses = bytes(packet[offset + 12 : offset + 20])
    header_size = (packet[offset] & 0x0F) * 4
    return packet[offset + 9], offset + header_size, _MAPPED + addresses[:4], _MAPPED + addresses[4:]


def _ipv6(packet: bytes | memoryview, offset: int) -> tuple[int, int, bytes, bytes] | None:
    if len(packet) < offset + 40:
        return None
    protocol, transport = packet[offset + 6], offset + 40
    while protocol in _EXTENSIONS and len(packet) >= transport + 8:
        protocol, transport = packet[transport], transport + (packet[transport + 1] + 1) * 8
    addresses = bytes(packet[offset + 8 : offset + 40])
    return protocol, transport, addresses[:16], addresses[16:]
