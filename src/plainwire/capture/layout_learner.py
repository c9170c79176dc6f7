"""Tells the kernel side where values stand in each attached library, as soon as that is learned.

It is learned beside the capture, in a thread: events that come before it lack the values, and nothing else. The code of
a library's getters is read, never run; a layout that `plainwire layout` has learned and kept is used as it is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from plainwire.errors import PlainwireError
from plainwire.kernel.engine import Engine
from plainwire.layouts.library_files import LibraryFiles

OpenFiles = Callable[[], LibraryFiles]


class LayoutLearner:
    """A thread that takes one library after another."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[tuple[str, int, OpenFiles] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def learn(self, module: str, library_id: int, open_files: OpenFiles) -> None:
        """Learn about an attached library. open_files: called in the thread; it may raise PlainwireError."""
        if not self._engine.uses_layouts(module):
            return
        self._jobs.put((module, library_id, open_files))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="layouts", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        # The disassembler takes longer to import than everything else here together.
        from plainwire.layouts.learn import LearnOptions, learn  # noqa: PLC0415

        while (job := self._jobs.get()) is not None:
            module, library_id, open_files = job
            with suppress(PlainwireError, OSError), open_files() as files:
                self._engine.set_layout(module, library_id, learn(files, LearnOptions(run=False)))

    def close(self) -> None:
        """Wait for the library at hand, and leave the rest."""
        if self._thread is not None:
            while not self._jobs.empty():
                with suppress(queue.Empty):
                    self._jobs.get_nowait()
            self._jobs.put(None)
            self._thread.join()
