"""An eBPF object that is loaded when something needs it: verifying one takes longer than all else at the start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from plainwire.errors import PlainwireError
from plainwire.kernel.bpf_object import BpfObject


class LazyObject:
    """load: opens and loads the object; called once, in the thread that needs it first."""

    def __init__(self, name: str, load: Callable[[str], BpfObject]) -> None:
        self.name = name
        self._load = load
        self._lock = threading.Lock()
        self._loaded: BpfObject | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is in the kernel."""
        return self._loaded is not None

    def get(self) -> BpfObject:
        """The loaded object. Waits for a thread that is loading it; raises KernelError where the kernel refuses."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(self.name)
            return self._loaded

    def close(self) -> None:
        """Unload it."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None


class Loading:
    """A thread that loads objects one after another. What the kernel refuses is told to the one who needs it."""

    def __init__(self, objects: Iterable[LazyObject]) -> None:
        self._objects = tuple(objects)
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="loading", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        for each in self._objects:
            if self._stopped:
                break
            with suppress(PlainwireError):
                each.get()

    def stop(self) -> None:
        """Load no further one; wait for the one at hand."""
        self._stopped = True
        self._thread.join()
