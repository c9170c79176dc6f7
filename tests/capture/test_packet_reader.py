"""The thread that empties the packet buffer, with a buffer of the test's own."""

from __future__ import annotations

import os
import select
import threading

import pytest

from plainwire.capture.packet_reader import PacketReader
from plainwire.kernel.buffers import EventBuffer
from tests.support.processes import wait_until


class Buffer(EventBuffer):
    """Gives what the test puts in, ten samples a round."""

    is_ring = True

    def __init__(self) -> None:
        self.wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.samples: list[bytes] = []
        self._lock = threading.Lock()

    def put(self, samples: list[bytes]) -> None:
        with self._lock:
            self.samples += samples
        os.eventfd_write(self.wakeup_fd, 1)

    def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
        with self._lock:
            taken, self.samples = self.samples[:10], self.samples[10:]
            return taken, bool(self.samples)

    def close(self) -> None:
        os.close(self.wakeup_fd)


def take_all(reader: PacketReader) -> list[bytes]:
    found: list[bytes] = []
    more = True
    while more:
        rounds, more = reader.take()
        found += [sample for samples in rounds for sample in samples]
    return found


def test_it_wakes_its_user_and_keeps_the_order() -> None:
    buffer = Buffer()
    reader = PacketReader(buffer)
    wanted = [bytes([number]) for number in range(200)]
    buffer.put(wanted[:5])
    assert select.select([reader.wakeup_fd], [], [], 10)[0]
    found = take_all(reader)
    assert found == wanted[:5]
    assert not select.select([reader.wakeup_fd], [], [], 0)[0]
    buffer.put(wanted[5:])
    reader.stop()
    assert take_all(reader) == wanted[5:]
    reader.close()
    buffer.close()


def test_what_memory_is_not_given_for_stays_in_the_buffer_where_the_kernel_counts() -> None:
    buffer = Buffer()
    reader = PacketReader(buffer, most_waiting_bytes=1000)
    buffer.put([bytes(20)] * 1000)
    wait_until(lambda: len(buffer.samples) == 950, "50 samples to be read", 10)
    assert len(take_all(reader)) >= 50
    wait_until(lambda: len(buffer.samples) < 950, "more to be read", 10)
    reader.stop()
    assert len(take_all(reader)) + 50 >= 950
    reader.close()
    buffer.close()


def test_an_error_in_the_thread_is_raised_to_who_takes() -> None:
    class Broken(Buffer):
        def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
            raise OSError("broken")

    buffer = Broken()
    reader = PacketReader(buffer)
    os.eventfd_write(buffer.wakeup_fd, 1)
    assert select.select([reader.wakeup_fd], [], [], 10)[0]
    with pytest.raises(OSError, match="broken"):
        reader.take()
    reader.close()
    buffer.close()
