"""The two ends of a connection, from the bytes of struct connection_t."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from plainwire.decode import abi
from plainwire.decode.layout import EventLayout
from plainwire.events import Connection, ConnectionNote

# <sys/socket.h>
_AF_UNIX = 1
_AF_INET = 2
# As many connections are remembered; beyond that, all are forgotten but keep no number of another.
_MAX_CONNECTIONS = 65536

End = tuple[Connection | None, ConnectionNote | None]


class Ends(dict[bytes, End]):
    """struct connection_t -> the connection, or None and why it is not known. Each is decoded once, then looked up."""

    layout: EventLayout[abi.ConnectionFields]

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[tuple[int, int, bytes, bytes, int, int], int] = {}
        self._next_id = 1

    def __missing__(self, raw: bytes) -> End:
        if len(self) >= _MAX_CONNECTIONS:
            self.clear()
            self._ids.clear()
        end = self[raw] = self._decode(self.layout.read(raw))
        return end

    def _decode(self, fields: abi.ConnectionFields) -> End:
        if fields.way == abi.CONNECTION_AMBIGUOUS:
            return None, "several sockets in one call"
        way = abi.CONNECTION_WAYS.get(fields.way)
        if way is None:
            return None, "no socket used yet"
        # The way may improve while the connection stays the same.
        key = (fields.sock, fields.inode, fields.saddr, fields.daddr, fields.sport, fields.dport)
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = self._next_id
            self._next_id += 1
        if fields.family == _AF_UNIX:
            return Connection(number, "unix", None, None, None, None, fields.net_namespace, way), None
        local, remote = _address(fields.family, fields.saddr), _address(fields.family, fields.daddr)
        family: Literal["IPv4", "IPv6"] = "IPv6" if ":" in local else "IPv4"
        return (
            Connection(number, family, local, fields.sport, remote, fields.dport, fields.net_namespace, way),
            None,
        )


def _address(family: int, raw: bytes) -> str:
    if family == _AF_INET:
        return str(IPv4Address(raw[:4]))
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)
