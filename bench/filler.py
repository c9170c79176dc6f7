"""Fills a capture's ring from inside the kernel, many times as fast as traced programs could."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from bench.compiled import bpf_object
from plainwire.kernel.libbpf import lib
from plainwire.kernel.syscalls import bpf
from tests.support.samples import ssl_data

_BPF_PROG_TEST_RUN = 10  # include/uapi/linux/bpf.h
_TEXT = b"<p>All that an ordinary page holds, line by line.</p>\n"
_TEMPLATE_SIZE = len(ssl_data(bytes(16384)))


class Filler:
    """Use as a context manager. Events are those of this process."""

    def __init__(self, ring_fd: int, folder: Path) -> None:
        """ring_fd: the map to fill. folder: for the compiled program."""
        self._object = bpf_object("fill", folder)
        self._object.share_event_buffer(ring_fd, ring=True)
        self._object.load()
        self._template = self._object.map("event_template")
        self._program_fd: int = lib.bpf_program__fd(self._object.program("fill"))

    def __enter__(self) -> Filler:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._object.close()

    def set_payload(self, size: int) -> None:
        """Bytes of text that each event carries from now on."""
        payload = (_TEXT * (size // len(_TEXT) + 1))[:size]
        event = ssl_data(payload, pid=os.getpid(), tid=os.getpid(), comm=b"bench")
        self._template.update(struct.pack("=I", 0), event.ljust(_TEMPLATE_SIZE, b"\0"))

    def fill(self, count: int, first: int) -> int:
        """Send events number `first` and following; how many of them found the ring full."""
        request = ctypes.create_string_buffer(struct.pack("=III", count, first, 0), 12)
        # union bpf_attr, test: prog_fd, retval, data sizes and pointers, repeat, duration, context sizes and pointers
        fields = struct.pack(
            "=IIIIQQIIIIQQIII", self._program_fd, 0, 0, 0, 0, 0, 0, 0, 12, 0, ctypes.addressof(request), 0, 0, 0, 0
        )
        bpf(_BPF_PROG_TEST_RUN, ctypes.create_string_buffer(fields, 80), "run the program that fills the ring")
        lost: int = struct.unpack_from("=I", request, 8)[0]
        return lost
