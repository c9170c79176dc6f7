"""Asks the kernel for lists over rtnetlink (netlink(7), rtnetlink(7))."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP: Final = 0x301  # NLM_F_REQUEST, NLM_F_ROOT, NLM_F_MATCH
_RECEIVE_SIZE: Final = 1 << 16
_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr
_TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER


def dump(request: int, body: bytes) -> list[bytes]:
    """What the kernel lists in answer to a request (RTM_GET*): the bodies of its messages. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as connection:
        connection.send(_MESSAGE.pack(_MESSAGE.size + len(body), request, _REQUEST_DUMP, 1, 0) + body)
        answers: list[bytes] = []
        while True:
            for kind, message in _messages(connection.recv(_RECEIVE_SIZE)):
                if kind == _NLMSG_DONE:
                    return answers
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    raise OSError(number, os.strerror(number))
                answers.append(message)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _MESSAGE.size:
        length, kind, *_ = _MESSAGE.unpack_from(data)
        yield kind, data[_MESSAGE.size : length]
        data = data[(length + 3) & ~3 :]


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by their type; of a type that is repeated the last."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[max(_ATTRIBUTE.size, (length + 3) & ~3) :]
    return found
