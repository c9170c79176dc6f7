"""The interfaces of this network namespace, by rtnetlink (rtnetlink(7), <linux/if_link.h>, <linux/if_arp.h>)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from plainwire.sockets.rtnetlink import attributes, dump

_RTM_GETLINK: Final = 18
_IFLA_IFNAME: Final = 3
_RTMGRP_LINK: Final = 1
_RECEIVE_SIZE: Final = 1 << 16
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg

# ARPHRD_*
_ETHERNET: Final = 1
_LOOPBACK: Final = 772
_WITHOUT_HEADER: Final = frozenset({65534, 512, 768, 769, 776, 778, 823})
"""NONE (tun, WireGuard), PPP, IPIP, IP6-IP6, SIT, IPGRE, IP6GRE: packets begin with the IP header."""


@dataclass(frozen=True, slots=True)
class Interface:
    """hardware_type: ARPHRD_* of <linux/if_arp.h>."""

    index: int
    name: str
    hardware_type: int

    @property
    def is_loopback(self) -> bool:
        """Whether what it sends comes back in."""
        return self.hardware_type == _LOOPBACK

    @property
    def has_ethernet_header(self) -> bool:
        """Whether its packets begin with an Ethernet header."""
        return self.hardware_type in (_ETHERNET, _LOOPBACK)

    @property
    def is_supported(self) -> bool:
        """Whether plainwire knows how its packets begin."""
        return self.has_ethernet_header or self.hardware_type in _WITHOUT_HEADER


def list_interfaces() -> list[Interface]:
    """All of this network namespace, in the kernel's order."""
    return [_parse(message) for message in dump(_RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))]


class InterfaceMonitor:
    """Tells when interfaces come, go or are renamed: `fd` is readable then."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK))
        self.fd = self._socket.fileno()

    def changed(self) -> bool:
        """Whether anything was told since the last call. What exactly, list_interfaces says more reliably."""
        told = False
        while True:
            try:
                self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                return told
            except OSError:  # the kernel had more to say than the socket could hold
                pass
            told = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def _parse(message: bytes) -> Interface:
    _, hardware_type, index, _, _ = _LINK.unpack_from(message)
    name = attributes(message[_LINK.size :]).get(_IFLA_IFNAME, b"")
    return Interface(index, name.rstrip(b"\0").decode(errors="backslashreplace"), hardware_type)
