"""Opens the buffer that suits kernel and machine."""

from __future__ import annotations

from plainwire.kernel.buffers import EventBuffer, PerfBuffer, RingBuffer
from plainwire.kernel.mapped_ring import MappedRing


def open_buffer(size: int, *, ring: bool) -> EventBuffer:
    """A buffer of `size` bytes."""
    if not ring:
        return PerfBuffer(size)
    return MappedRing(size) if MappedRing.is_possible() else RingBuffer(size)
