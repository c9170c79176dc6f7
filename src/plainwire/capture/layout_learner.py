"""Tells the kernel side where values stand in each attached library, as soon as that is learned.

It is learned beside the capture, in a thread: events that come before it lack the values, and nothing else. The code of
a library's getters is read, never run; what was learned before and kept is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from plainwire.errors import PlainwireError
from plainwire.kernel.engine import Engine
from plainwire.layouts import cache
from plainwire.layouts.layout import Layout
from plainwire.layouts.library_files import LibraryFiles

OpenFiles = Callable[[], LibraryFiles]


class LayoutLearner:
    """A thread that takes one library after another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="layouts")
        self._jobs: list[Future[None]] = []

    def learn(self, module: str, library_id: int, open_files: OpenFiles) -> None:
        """Learn about an attached library. open_files: called in the thread; it may raise PlainwireError."""
        if self._engine.uses_layouts(module):
            self._jobs = [job for job in self._jobs if not job.done()]
            self._jobs.append(self._thread.submit(self._learn, module, library_id, open_files))

    def _learn(self, module: str, library_id: int, open_files: OpenFiles) -> None:
        with suppress(PlainwireError, OSError), open_files() as files:
            self._engine.set_layout(module, library_id, _layout(files))

    def finish(self, seconds: float) -> None:
        """Wait until all libraries up to now are known, but no longer than this."""
        wait(self._jobs, timeout=seconds)

    def close(self) -> None:
        """Wait for the library at hand, and leave the rest."""
        self._thread.shutdown(cancel_futures=True)


def _layout(files: LibraryFiles) -> Layout:
    known = cache.load(files.identity) or cache.load(files.identity, by_getters=True)
    if known is not None:
        return known
    # The disassembler takes longer to import than everything else here together.
    from plainwire.layouts.learn import LearnOptions, learn  # noqa: PLC0415

    return learn(files, LearnOptions(run=False))
