"""Writes pcapng: packets with their process, keys and drop counts in one file that Wireshark opens already decrypted.

Follows draft-ietf-opsawg-pcapng: section header (its section 4.1), interface description (4.2), enhanced packet (4.3),
interface statistics (4.6) and decryption secrets (4.7). Numbers are little-endian, which every reader accepts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from platform import machine, release, system
from typing import Final

LINKTYPE_ETHERNET: Final = 1
LINKTYPE_RAW: Final = 101
"""Begins with the IPv4 or IPv6 header: interfaces without a link-layer header."""

_SECTION_HEADER: Final = 0x0A0D0D0A
_INTERFACE_DESCRIPTION: Final = 1
_INTERFACE_STATISTICS: Final = 5
_ENHANCED_PACKET: Final = 6
_DECRYPTION_SECRETS: Final = 10
_TLS_KEY_LOG: Final = 0x544C534B

# Option codes, each of the block that its prefix names; `comment` is allowed in all.
_COMMENT: Final = 1
_SHB_HARDWARE: Final = 2
_SHB_OS: Final = 3
_SHB_APPLICATION: Final = 4
_IF_NAME: Final = 2
_IF_TSRESOL: Final = 9
_IF_FILTER: Final = 11
_EPB_FLAGS: Final = 2
_EPB_PROCESS_THREAD: Final = 8
_ISB_RECEIVED: Final = 4
_ISB_DROPPED: Final = 5

_INBOUND: Final = 1
_OUTBOUND: Final = 2

_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4
_PACKET_HEAD: Final = struct.Struct("<IIIIIII")
_LENGTH: Final = struct.Struct("<I")
_BUFFERED_BYTES: Final = 1 << 20

Packet = tuple[int, int, bytes | memoryview, int, bytes]
"""Interface, ns since 1970 in UTC, the bytes captured, bytes on the wire, and options of `packet_options`."""


class PcapngWriter:
    """Writes one section. Blocks are handed to `write` whole, so that a file can be cut at any time and still be read.

    `write` takes bytes, as the method of an unbuffered file does; what it raises is raised to the caller. Blocks are
    collected until 1 MiB has come together or `flush` is called. `bytes_written` counts what was collected too.
    """

    def __init__(self, write: Callable[[bytes], object], application: str) -> None:
        self._write = write
        self._interfaces = 0
        self._parts: list[bytes | memoryview] = []
        self._unflushed = 0
        self.bytes_written = 0
        options = (
            _text_option(_SHB_HARDWARE, machine())
            + _text_option(_SHB_OS, f"{system()} {release()}")
            + _text_option(_SHB_APPLICATION, application)
        )
        self._block(_SECTION_HEADER, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options(options))

    def interface(self, name: str, link_type: int, *, snaplen: int = 0, capture_filter: str | None = None) -> int:
        """Declare an interface and return the number that its packets bear. `snaplen` 0 means whole packets."""
        options = _text_option(_IF_NAME, name) + _option(_IF_TSRESOL, b"\x09")
        if capture_filter:
            options += _option(_IF_FILTER, b"\0" + capture_filter.encode())
        self._block(_INTERFACE_DESCRIPTION, struct.pack("<HHI", link_type, 0, snaplen) + _options(options))
        self._interfaces += 1
        return self._interfaces - 1

    def secrets(self, key_log: bytes) -> None:
        """Keys for the packets that follow: lines of the SSLKEYLOGFILE format, each ended by a newline."""
        head = struct.pack("<II", _TLS_KEY_LOG, len(key_log))
        self._block(_DECRYPTION_SECRETS, head + key_log + _PADDING[len(key_log) & 3])

    def packets(self, packets: Iterable[Packet]) -> None:
        """Packets in their order."""
        pack_head, pack_length, paddings, add = _PACKET_HEAD.pack, _LENGTH.pack, _PADDING, self._parts.extend
        written = 0
        for interface, time_ns, data, length, options in packets:
            captured = len(data)
            padding = paddings[captured & 3]
            total = 32 + captured + len(padding) + len(options)
            head = pack_head(_ENHANCED_PACKET, total, interface, time_ns >> 32, time_ns & 0xFFFFFFFF, captured, length)
            add((head, data, padding, options, pack_length(total)))
            written += total
        self._unflushed += written
        self.bytes_written += written
        if self._unflushed >= _BUFFERED_BYTES:
            self.flush()

    def statistics(self, interface: int, time_ns: int, *, received: int, dropped: int) -> None:
        """How many packets were seen on an interface since the capture began, and how many of them are missing here."""
        options = _option(_ISB_RECEIVED, struct.pack("<Q", received)) + _option(
            _ISB_DROPPED, struct.pack("<Q", dropped)
        )
        head = struct.pack("<III", interface, time_ns >> 32, time_ns & 0xFFFFFFFF)
        self._block(_INTERFACE_STATISTICS, head + _options(options))

    def flush(self) -> None:
        """Hand over what was collected."""
        if self._parts:
            blocks = b"".join(self._parts)
            self._parts.clear()
            self._unflushed = 0
            self._write(blocks)

    def _block(self, block_type: int, body: bytes) -> None:
        total = 12 + len(body)
        self._parts.append(struct.pack("<II", block_type, total) + body + _LENGTH.pack(total))
        self._unflushed += total
        self.bytes_written += total


@lru_cache(maxsize=4096)
def packet_options(
    pid: int | None, uid: int | None, comm: str | None, container: str | None, outgoing: bool, note: str | None = None
) -> bytes:
    """What is known of a packet beside its bytes, as options of its block.

    The comment reads `pid=1234 uid=1000 container=9f… comm=curl`; the name stands last since it may hold spaces.
    `epb_processid_threadid` repeats the pid for programs. A packet whose process is not known says so.
    """
    if pid is None:
        comment = "process unknown"
    else:
        within = f"container={container} " if container else ""
        comment = f"pid={pid} uid={uid} {within}comm={_printable(comm or '')}"
    options = _text_option(_COMMENT, comment)
    if note:
        options += _text_option(_COMMENT, note)
    options += _option(_EPB_FLAGS, _LENGTH.pack(_OUTBOUND if outgoing else _INBOUND))
    if pid is not None:
        options += _option(_EPB_PROCESS_THREAD, struct.pack("<II", pid, 0))  # thread 0: not known
    return _options(options)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _PADDING[len(value) & 3]


def _text_option(code: int, text: str) -> bytes:
    return _option(code, text.encode("utf-8", "backslashreplace")[:65532])


def _options(options: bytes) -> bytes:
    """A list of options with its end mark (opt_endofopt)."""
    return options + b"\0\0\0\0"


def _printable(text: str) -> str:
    """A process chooses its own name: nothing in it may reach the terminal of a reader as a control byte."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
