"""A capture as pcapng files: one, or a row of files that begins a new one by size or time.

Each file of a row can be read alone: it declares every interface, and begins with the keys that were learned shortly
before it. Older keys would be of no use: a reader decrypts a connection only from its handshake on, and the keys of a
handshake arrive within moments of its packets.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from plainwire.errors import InputError
from plainwire.outputs.destination import open_private
from plainwire.outputs.pcapng import Packet, PcapngWriter

_SECRETS_KEPT_NS: Final = 60_000_000_000


class _Interface(NamedTuple):
    name: str
    link_type: int
    snaplen: int
    capture_filter: str | None


class _Counters(NamedTuple):
    received: int
    dropped: int


class PcapngFiles:
    """Writes packets to `path`, or to a row of files named after it (`trace.pcapng`: `trace_00001.pcapng`, …).

    A file ends before it would exceed `max_bytes`, and when a packet is `max_ns` or more younger than the file's first.
    Of a row, the last `files` are kept. Path `-` is standard output. `create` opens a file for writing.
    """

    def __init__(
        self,
        path: Path,
        application: str,
        *,
        max_bytes: int | None = None,
        max_ns: int | None = None,
        files: int | None = None,
        create: Callable[[Path], int] = open_private,
    ) -> None:
        self._path = path
        self._application = application
        self._max_bytes = max_bytes
        self._max_ns = max_ns
        self._files = files
        self._create = create
        self._rotates = max_bytes is not None or max_ns is not None
        if self._rotates and str(path) == "-":
            raise InputError("standard output is one stream: name a file for --rotate-size or --rotate-seconds")
        self._interfaces: list[_Interface] = []
        self._counters: dict[int, _Counters] = {}
        self._secrets: deque[tuple[int, bytes]] = deque()
        self._written: deque[Path] = deque()
        self._number = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._writer = self._open_next()

    def interface(self, name: str, link_type: int, *, snaplen: int = 0, capture_filter: str | None = None) -> int:
        """Declare an interface and return the number that its packets bear, in every file."""
        self._interfaces.append(_Interface(name, link_type, snaplen, capture_filter))
        return self._writer.interface(name, link_type, snaplen=snaplen, capture_filter=capture_filter)

    def secrets(self, time_ns: int, key_log: bytes) -> None:
        """Keys for the packets that follow. time_ns: since 1970 in UTC. key_log: as PcapngWriter.secrets."""
        if self._rotates and self._is_full(time_ns, len(key_log)):
            self._rotate(time_ns)
        self._writer.secrets(key_log)
        if self._rotates:
            self._forget_old_secrets(time_ns)
            self._secrets.append((time_ns, key_log))

    def packets(self, packets: Sequence[Packet]) -> None:
        """As PcapngWriter.packets."""
        if not self._rotates:
            self._writer.packets(packets)
            if packets:
                self._last_ns = packets[-1][1]
            return
        for packet in packets:
            _, time_ns, data, _, options = packet
            if self._is_full(time_ns, len(data) + len(options)):
                self._rotate(time_ns)
            if self._first_ns is None:
                self._first_ns = time_ns
            self._last_ns = time_ns
            self._writer.packets((packet,))

    def count(self, interface: int, received: int, dropped: int) -> None:
        """An interface's counters since the capture began; each file ends with the latest."""
        self._counters[interface] = _Counters(received, dropped)

    def flush(self) -> None:
        """Hand what was collected to the kernel, so that a reader that follows the file sees it."""
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._finish()

    def _is_full(self, time_ns: int, size: int) -> bool:
        if self._first_ns is None:
            return False  # a file holds at least one packet, whatever its size
        if self._max_bytes is not None and self._writer.bytes_written + 36 + size > self._max_bytes:
            return True
        return self._max_ns is not None and time_ns - self._first_ns >= self._max_ns

    def _forget_old_secrets(self, time_ns: int) -> None:
        while self._secrets and self._secrets[0][0] < time_ns - _SECRETS_KEPT_NS:
            self._secrets.popleft()

    def _rotate(self, time_ns: int) -> None:
        self._forget_old_secrets(time_ns)
        self._finish()
        self._writer = self._open_next()

    def _open_next(self) -> PcapngWriter:
        path = self._path
        if self._rotates:
            self._number += 1
            path = path.with_name(f"{path.stem}_{self._number:05}{path.suffix}")
        self._descriptor = 1 if str(path) == "-" else self._create(path)
        self._first_ns = None
        writer = PcapngWriter(self._write_all, self._application)
        for interface in self._interfaces:
            writer.interface(
                interface.name,
                interface.link_type,
                snaplen=interface.snaplen,
                capture_filter=interface.capture_filter,
            )
        if self._secrets:
            writer.secrets(b"".join(key_log for _, key_log in self._secrets))
        self._written.append(path)
        if self._files is not None and len(self._written) > self._files:
            self._written.popleft().unlink(missing_ok=True)
        return writer

    def _finish(self) -> None:
        for interface, counters in self._counters.items():
            self._writer.statistics(interface, self._last_ns, received=counters.received, dropped=counters.dropped)
        try:
            self._writer.flush()
        finally:
            if self._descriptor != 1:
                os.close(self._descriptor)

    def _write_all(self, blocks: bytes) -> None:
        remaining = memoryview(blocks)
        while remaining:
            remaining = remaining[os.write(self._descriptor, remaining) :]
