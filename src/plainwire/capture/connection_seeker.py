"""Finds the connections of memory BIOs that are older than the capture, by the records that they write.

Where processes have such connections, BIO_write is attached in them; one that has missed none for a while is left alone
again. Events until the first record has come by lack their connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from plainwire.errors import PlainwireError
from plainwire.inspect import process
from plainwire.kernel.record_seeker import FUNCTION, RecordSeeker
from plainwire.layouts.library_files import LibraryFiles, holds_openssl

_PERIOD_NS = 100_000_000
_REST_NS = 120_000_000_000  # a process in which none was missed for so long is left
_PATIENCE_S = 1.0


class ConnectionSeeker:
    """A thread that looks after calls of `look`, and goes on while something is attached."""

    def __init__(self, seekers: Callable[[], list[RecordSeeker]], warn: Callable[[str], None]) -> None:
        """seekers: of the modules whose objects are loaded by now."""
        self._seekers = seekers
        self._warn = warn
        self._refused = False
        self._closed = False
        self._next_look = 0
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="connections", daemon=True)
        self._thread.start()

    def look(self, now_ns: int) -> None:
        """Data came, so that there may be connections to find."""
        if now_ns >= self._next_look:
            self._next_look = now_ns + _PERIOD_NS
            self._wake.set()

    def _work(self) -> None:
        while not self._closed and not self._refused:
            attached = any(seeker.processes for seeker in self._seekers())
            self._wake.wait(_PATIENCE_S if attached else None)
            self._wake.clear()
            for seeker in () if self._closed else self._seekers():
                self._update(seeker)

    def _update(self, seeker: RecordSeeker) -> None:
        now = time.monotonic_ns()
        for pid, need in seeker.wanted().items():
            if need.sought <= 0 or now - need.last_ns > _REST_NS:
                seeker.detach(pid)
            elif pid not in seeker.processes:
                self._attach(seeker, pid)

    def _attach(self, seeker: RecordSeeker, pid: int) -> None:
        refusal = seeker.watch_packets()
        if refusal is not None:
            self._refused = True
            self._warn(refusal)
            return
        with ExitStack() as opened, suppress(PlainwireError, OSError):  # it may have ended
            seeker.attach(pid, list(_places(pid, opened)))

    def close(self) -> None:
        """Take everything away."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        for seeker in self._seekers():
            seeker.close()


def _places(pid: int, opened: ExitStack) -> Iterator[tuple[str, int]]:
    """The files with the BIO_write of a process's TLS libraries, as paths good while `opened` is, and where it is."""
    for mapped in process.mapped_files(pid):
        if not holds_openssl(pid, mapped):
            continue
        files = opened.enter_context(LibraryFiles.mapped(pid, mapped))
        for file, descriptor in zip(files.files, files.descriptors, strict=True):
            symbol = file.symbols([FUNCTION]).get(FUNCTION)
            if symbol is not None:
                yield f"/proc/self/fd/{descriptor}", file.file_offset(symbol.address)
                break
