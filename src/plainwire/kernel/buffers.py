"""The buffer through which events reach userspace: a ring buffer, or a perf array on kernels without (before 5.8)."""

from __future__ import annotations

import os
import struct
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from operator import itemgetter
from typing import Any

from plainwire.kernel.libbpf import check, check_pointer, ffi, lib
from plainwire.kernel.map_memory import possible_cpus

_BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4
_BPF_MAP_TYPE_RINGBUF = 27
_PAGE_SIZE = 4096
_MIN_PERF_PAGES = 8  # room for one event of 16 KiB
# One round reads at most this much, so that commands and new processes get their turn while a program floods us. What a
# round reads is copied, sliced and written while it is in the processor's cache: 16 MiB a round took 1.4 times as long.
MAX_ROUND_SAMPLES = 1024
MAX_ROUND_BYTES = 1 << 20
# From the moment that a program takes the time until its sample is in the ring.
_PERF_SETTLE_NS = 1_000_000


class EventBuffer(ABC):
    """What a ring and a perf array have in common.

    fd: of the map that event maps share. wakeup_fd: readable when there is something to read; None: look from time to
    time. What does not fit the programs count themselves (LOSS_BUFFER_FULL): the kernel tells them of a full ring, and
    since Linux 5.1 of a full perf ring too, whose PERF_RECORD_LOST tells of the same samples again.
    """

    fd: int
    is_ring: bool
    wakeup_fd: int | None = None

    @abstractmethod
    def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
        """The samples that are there, in order, and whether there may be more (a bound was reached).

        final: nothing is written any more, so nothing is held back for the sake of order.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the buffer up."""


def create_ring(size: int) -> int:
    """The descriptor of a BPF_MAP_TYPE_RINGBUF. size: bytes, a power of two of at least a page."""
    return check(
        lib.bpf_map_create(_BPF_MAP_TYPE_RINGBUF, b"events", 0, 0, size, ffi.NULL),
        f"create a ring buffer of {size} bytes",
    )


class RingBuffer(EventBuffer):
    """One ring for all CPUs: samples come in the order in which they were reserved. Read by libbpf, which knows how
    each kind of processor must be told to read in order."""

    is_ring = True

    def __init__(self, size: int) -> None:
        """size: bytes, a power of two of at least a page."""
        self.fd = create_ring(size)
        self._samples: list[bytes] = []
        self._callback = ffi.callback("ring_buffer_sample_fn", self._make_callback())
        self._ring = check_pointer(
            lib.ring_buffer__new(self.fd, self._callback, ffi.NULL, ffi.NULL), "map the ring buffer"
        )
        self.wakeup_fd = lib.ring_buffer__epoll_fd(self._ring)

    def _make_callback(self) -> Any:
        buffer, room = ffi.buffer, [MAX_ROUND_BYTES]
        self._room = room

        def keep(_context: Any, data: Any, size: int) -> int:
            samples = self._samples
            samples.append(buffer(data, size)[:])
            room[0] -= size
            # A negative result ends the round; libbpf takes this sample as consumed all the same.
            return -1 if room[0] < 0 or len(samples) >= MAX_ROUND_SAMPLES else 0

        return keep

    def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
        """See EventBuffer."""
        self._samples, self._room[0] = [], MAX_ROUND_BYTES
        more = lib.ring_buffer__consume(self._ring) < 0
        return self._samples, more

    def close(self) -> None:
        """See EventBuffer."""
        lib.ring_buffer__free(self._ring)
        os.close(self.fd)


class PerfBuffer(EventBuffer):
    """One perf ring for each CPU. Samples are put into order by time; the newest are held back for a round.

    Nobody is woken for a sample: a wake-up costs the traced program more than the capture itself.
    """

    is_ring = False

    _LIBBPF_PERF_EVENT_CONT = -2
    _PERF_RECORD_SAMPLE = 9

    def __init__(self, size: int) -> None:
        """size: bytes in all; each CPU gets its share, rounded down to a power of two of pages."""
        cpus = possible_cpus()
        pages = 1 << (max(_MIN_PERF_PAGES, size // cpus // _PAGE_SIZE).bit_length() - 1)
        self.fd = check(
            lib.bpf_map_create(_BPF_MAP_TYPE_PERF_EVENT_ARRAY, b"events", 4, 4, cpus, ffi.NULL), "create a perf array"
        )
        self._samples: list[tuple[int, bytes]] = []
        self._callback = ffi.callback("perf_buffer_event_fn", self._keep)
        # struct perf_event_attr of <linux/perf_event.h>: PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT,
        # sample_period 1, PERF_SAMPLE_RAW, no wake-up before half of the ring is full.
        attributes = ffi.new("char[]", struct.pack("=IIQQQ", 1, 112, 10, 1, 1 << 10).ljust(112, b"\0"))
        self._buffer = check_pointer(
            lib.perf_buffer__new_raw(self.fd, pages, attributes, self._callback, ffi.NULL, ffi.NULL),
            f"create perf buffers of {pages} pages a CPU",
        )

    def _keep(self, _context: Any, _cpu: int, header: Any) -> int:
        body = ffi.buffer(header, header.size)
        if header.type == self._PERF_RECORD_SAMPLE:
            (size,) = struct.unpack_from("=I", body, 8)
            sample = body[12 : 12 + size]
            # Each event begins with kind, 4 bytes more, and timestamp_ns (bpf/abi.h).
            self._samples.append((int.from_bytes(sample[8:16], "little"), sample))
        return self._LIBBPF_PERF_EVENT_CONT

    def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
        """See EventBuffer."""
        # What is newer than this may yet be joined by an older sample of a CPU whose ring was read first.
        settled = time.monotonic_ns() - _PERF_SETTLE_NS
        lib.perf_buffer__consume(self._buffer)
        self._samples.sort(key=itemgetter(0))
        count = len(self._samples) if final else bisect_right(self._samples, settled, key=itemgetter(0))
        ready, self._samples = self._samples[:count], self._samples[count:]
        return [sample for _, sample in ready], False

    def close(self) -> None:
        """See EventBuffer."""
        lib.perf_buffer__free(self._buffer)
        os.close(self.fd)
