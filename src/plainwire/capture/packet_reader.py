"""Empties the packet buffer in a thread of its own.

What else a capture does, attaching to a library that has just been loaded above all, takes longer than the buffer in
the kernel lasts at hundreds of megabytes a second. Samples wait in memory meanwhile; when that is full too, they stay
in the kernel's buffer, and the kernel counts what does not fit there.
"""

from __future__ import annotations

import os
import re
import select
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from plainwire.kernel.buffers import EventBuffer

_MOST_WAITING_BYTES: Final = 1 << 30
_ROUNDS_AT_ONCE: Final = 4
# As in capture/session.py: while the reader sleeps, the kernel wakes nobody.
_PAUSE_S: Final = 0.005
_PERF_PERIOD_S: Final = 0.025


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) << 10 if found else 0


class PacketReader:
    """Reads from when it is made until `stop`. `wakeup_fd` is readable when there is something to take."""

    def __init__(self, buffer: EventBuffer, most_waiting_bytes: int | None = None) -> None:
        """most_waiting_bytes: a quarter of the memory that is free, and at most 1 GiB, if not given."""
        self._buffer = buffer
        self._most_waiting = most_waiting_bytes or min(_MOST_WAITING_BYTES, available_memory() // 4)
        self._rounds: deque[tuple[list[bytes], int]] = deque()
        self._waiting = 0  # bytes; each side changes it under the lock
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="packet reader", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list[list[bytes]], bool]:
        """Some rounds of samples, in order, and whether there are more."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.wakeup_fd)
        if self._error is not None:
            raise self._error
        taken: list[list[bytes]] = []
        while self._rounds and len(taken) < _ROUNDS_AT_ONCE:
            samples, size = self._rounds.popleft()
            taken.append(samples)
            with self._lock:
                self._waiting -= size
        return taken, bool(self._rounds)

    def stop(self) -> None:
        """Read no more, except what is in the buffer by now. Nothing may be written to it any more."""
        if self._thread.is_alive():
            os.eventfd_write(self._stop_fd, 1)
            self._thread.join()

    def close(self) -> None:
        """Give everything up."""
        self.stop()
        os.close(self.wakeup_fd)
        os.close(self._stop_fd)

    def _run(self) -> None:
        try:
            self._read_until_stopped()
            more = True
            while more:
                more = self._read(final=True)
        except BaseException as error:
            self._error = error
            os.eventfd_write(self.wakeup_fd, 1)

    def _read_until_stopped(self) -> None:
        with select.epoll() as stopped, select.epoll() as ready:
            for poll in (stopped, ready):
                poll.register(self._stop_fd, select.EPOLLIN)
            if self._buffer.wakeup_fd is not None:
                ready.register(self._buffer.wakeup_fd, select.EPOLLIN)
            patience = -1 if self._buffer.wakeup_fd is not None else _PERF_PERIOD_S
            while not any(fd == self._stop_fd for fd, _ in ready.poll(patience)):
                while self._waiting < self._most_waiting and self._read():
                    pass
                if stopped.poll(_PAUSE_S):
                    break

    def _read(self, *, final: bool = False) -> bool:
        samples, more = self._buffer.drain(final=final)
        if samples:
            size = sum(map(len, samples))
            with self._lock:
                self._waiting += size
            self._rounds.append((samples, size))
            os.eventfd_write(self.wakeup_fd, 1)
        return more
