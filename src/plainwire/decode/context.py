"""What the decoders of all kinds of events share: what was asked for, who the processes are, what was lost."""

from __future__ import annotations

from collections import Counter

from plainwire.decode.clock import WallClock
from plainwire.decode.ends import Ends
from plainwire.decode.names import Texts
from plainwire.decode.processes import ProcessTable
from plainwire.decode.records import Header, LibraryFacts, Settings
from plainwire.events import LossEvent

# Processes that were counted; beyond so many, some may be counted twice.
_MAX_PIDS = 1 << 18


class Context:
    """The state of one session.

    libraries: attach cookie -> module and path; default_library stands for a cookie that is not among them.
    last_ns: the time of the last event, for what has no time of its own.
    """

    def __init__(self) -> None:
        self.clock = WallClock()
        self.processes = ProcessTable()
        self.ends = Ends()
        self.libraries: dict[int, tuple[str, str | None]] = {}
        self.default_library: tuple[str, str | None] = ("", None)
        self.texts = Texts()
        self.settings = Settings()
        self.losses: Counter[str] = Counter()
        self.last_ns = 0
        self.process_count = 0
        self._comms: frozenset[str] = frozenset()
        self._pids: set[int] = set()

    def begin(self, header: Header) -> None:
        """A session with these settings."""
        self.settings = header.settings
        names = (comm.encode("utf-8", "surrogateescape") for comm in header.settings.comms)
        self._comms = frozenset(name[:15].decode("utf-8", "replace") for name in names)  # as the kernel cuts them
        self.last_ns = header.started_ns

    def add_library(self, facts: LibraryFacts) -> None:
        """Events that bear its cookie are of this library."""
        self.libraries[facts.id] = (facts.module, facts.path)

    def wanted(self, pid: int, uid: int, comm: str) -> bool:
        """Whether the filters that are left to userspace let this process through."""
        settings = self.settings
        return not settings.userspace_filter or (
            (not settings.pids or pid in settings.pids)
            and (settings.uid is None or uid == settings.uid)
            and (not self._comms or comm in self._comms)
        )

    def count_process(self, pid: int) -> None:
        """An event of this process is given out."""
        if pid not in self._pids:
            if len(self._pids) >= _MAX_PIDS:
                self._pids.clear()
            self._pids.add(pid)
            self.process_count += 1

    def loss(self, reason: str, count: int = 1, timestamp_ns: int | None = None) -> LossEvent:
        """The event that tells a loss, which is counted; at the time of the last event if it has no other."""
        at = self.last_ns if timestamp_ns is None else timestamp_ns
        self.losses[reason] += count
        return LossEvent(self.clock.text(at), at, reason, count)
