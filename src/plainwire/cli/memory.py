"""How this process uses memory."""

from __future__ import annotations

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT = 64 << 20
_LARGE = 32 << 20


def keep_freed_memory() -> None:
    """Let malloc keep what is freed, up to 64 MiB, instead of giving it back to the kernel at once.

    Events of 16 KiB are made and dropped in batches. By glibc's defaults the pages of each batch are returned and taken
    anew, and page faults then cost eight times as much as the decoder itself. Other C libraries have no such knob.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
