"""Reads a BPF ring buffer in its mapped memory, without a call per sample: a quarter of what libbpf's callback costs.

How the memory lies: kernel/bpf/ringbuf.c and `struct bpf_ringbuf_hdr` there, BPF_RINGBUF_* of <linux/bpf.h>. A page
with the consumer's position, which is ours to write; one with the producers' position; the data, mapped twice in a row,
so that no sample is broken at the end.
"""

from __future__ import annotations

import mmap
import os
import platform
from typing import Final

from plainwire.kernel.buffers import MAX_ROUND_BYTES, MAX_ROUND_SAMPLES, EventBuffer, create_ring

_BUSY: Final = 1 << 31  # reserved, and not yet submitted
_DISCARDED: Final = 1 << 30
_HEADER_SIZE: Final = 8


class MappedRing(EventBuffer):
    """One BPF_MAP_TYPE_RINGBUF for all CPUs: samples come in the order in which they were reserved."""

    is_ring = True

    def __init__(self, size: int) -> None:
        """size: bytes, a power of two of at least a page."""
        self.fd = self.wakeup_fd = create_ring(size)
        self._mask = size - 1
        page = mmap.PAGESIZE
        self._consumer_page = mmap.mmap(self.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._pages = mmap.mmap(self.fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumed = memoryview(self._consumer_page).cast("Q")
        self._pages_view = memoryview(self._pages)
        self._produced = self._pages_view[:page].cast("Q")
        self._lengths = self._pages_view[page:].cast("I")

    @staticmethod
    def is_possible() -> bool:
        """Whether the processor lets what was written in an order be read in that order, which Python can't ask for.

        The position, a sample's header and its bytes are read one after the other (Intel SDM, volume 3, section 9.2).
        """
        return platform.machine() == "x86_64"

    def drain(self, *, final: bool = False) -> tuple[list[bytes], bool]:
        """See EventBuffer."""
        samples: list[bytes] = []
        keep, data, lengths, mask, page = samples.append, self._pages, self._lengths, self._mask, mmap.PAGESIZE
        position, produced = self._consumed[0], self._produced[0]
        end = min(produced, position + MAX_ROUND_BYTES)
        room = MAX_ROUND_SAMPLES
        while position < end and room:
            offset = position & mask
            length = lengths[offset >> 2]
            if length >= _DISCARDED:
                if length & _BUSY:  # those behind it have to wait, and its submission will wake us
                    produced = position
                    break
                length ^= _DISCARDED
            else:
                start = page + _HEADER_SIZE + offset
                keep(data[start : start + length])
                room -= 1
            position += length + _HEADER_SIZE + 7 & ~7
        self._consumed[0] = position
        return samples, position < produced

    def close(self) -> None:
        """See EventBuffer."""
        for view in (self._consumed, self._produced, self._lengths, self._pages_view):
            view.release()
        self._consumer_page.close()
        self._pages.close()
        os.close(self.fd)
