"""The two ends of a connection, from the bytes of struct connection_t, and what numbers a connection has."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

from plainwire.decode import abi
from plainwire.decode.layout import EventLayout
from plainwire.events import Connection, ConnectionNote, ConnectionWay

# <sys/socket.h>
_AF_UNIX = 1
_AF_INET = 2
_FAMILY_PIPE = 0xFFFF  # bpf/abi/connections.h
# As many connections are remembered; beyond that, all are forgotten but keep no number of another.
_MAX_CONNECTIONS = 65536

End = tuple[Connection | None, ConnectionNote | None]


class Identity(NamedTuple):
    """What tells a connection of a capture from all others."""

    sock: int
    inode: int
    saddr: bytes
    daddr: bytes
    sport: int
    dport: int


class Ends(dict[bytes, End]):
    """struct connection_t -> the connection, or None and why it is not known. Each is decoded once, then looked up."""

    layout: EventLayout[abi.ConnectionFields]

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[Identity, int] = {}
        self._opened: dict[Identity, str] = {}
        self._next_id = 1

    def __missing__(self, raw: bytes) -> End:
        if len(self) >= _MAX_CONNECTIONS:
            self.clear()
            self._ids.clear()
            self._opened.clear()
        end = self[raw] = self._decode(self.layout.read(raw))
        return end

    def _decode(self, fields: abi.ConnectionFields) -> End:
        way = abi.CONNECTION_WAYS.get(fields.way)
        if way is None:
            return None, abi.WHY_NO_CONNECTION.get(fields.way, abi.WHY_NO_CONNECTION[0])
        return self.connection(fields, way), None

    def connection(
        self,
        fields: abi.ConnectionFields | abi.ConnectEvent,
        way: ConnectionWay | None = None,
        opened: str | None = None,
        closed: str | None = None,
    ) -> Connection:
        """The connection with its number. opened, closed: when; each later one with this number was opened then too."""
        # The way may improve while the connection stays the same.
        identity = Identity(fields.sock, fields.inode, fields.saddr, fields.daddr, fields.sport, fields.dport)
        number = self._ids.get(identity)
        if number is None:
            number = self._ids[identity] = self._next_id
            self._next_id += 1
        if opened is None:
            opened = self._opened.get(identity)
        else:
            self._opened[identity] = opened
        if closed is not None:  # nothing will come of it
            self._ids.pop(identity, None)
            self._opened.pop(identity, None)
        if fields.family in (_AF_UNIX, _FAMILY_PIPE):
            kind: Literal["unix", "pipe"] = "unix" if fields.family == _AF_UNIX else "pipe"
            return Connection(number, kind, None, None, None, None, fields.net_namespace, way, opened, closed)
        local, remote = _address(fields.family, fields.saddr), _address(fields.family, fields.daddr)
        family: Literal["IPv4", "IPv6"] = "IPv6" if ":" in local else "IPv4"
        return Connection(
            number, family, local, fields.sport, remote, fields.dport, fields.net_namespace, way, opened, closed
        )


def _address(family: int, raw: bytes) -> str:
    if family == _AF_INET:
        return str(IPv4Address(raw[:4]))
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)
