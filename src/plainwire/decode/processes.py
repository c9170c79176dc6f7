"""Which program a process ran at a certain time."""

from __future__ import annotations

from collections import deque

from plainwire.decode.records import ProcessFacts

# A process keeps this many past programs: events of a program that has just been replaced still come.
MAX_HISTORY = 8
# So many processes are remembered; of more, those without news for longest go first.
MAX_PROCESSES = 16384


class Program:
    """A process from `since_ns` on, until its next program. `cmdline` is shared by its events: not to be changed."""

    __slots__ = ("cmdline", "container", "exe", "namespace_pid", "since_ns")

    def __init__(
        self,
        since_ns: int,
        exe: str | None,
        cmdline: list[str] | None,
        container: str | None = None,
        namespace_pid: int | None = None,
    ) -> None:
        self.since_ns = since_ns
        self.exe = exe
        self.cmdline = cmdline
        self.container = container
        self.namespace_pid = namespace_pid


UNKNOWN = Program(0, None, None)


class ProcessTable:
    """The processes seen so far, by pid; of each, the programs that it ran.

    `latest` holds the last program of each pid, for the loop over the samples: it is the right one for an event that is
    not older. `at` knows for every event.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Program] = {}
        self._earlier: dict[int, deque[Program]] = {}

    def add(self, facts: ProcessFacts) -> None:
        """Facts from a record. They may come late: after those of a later program of the same pid."""
        cmdline = None if facts.cmdline is None else list(facts.cmdline)
        pid, program = facts.pid, Program(facts.since_ns, facts.exe, cmdline, facts.container, facts.namespace_pid)
        last = self.latest.pop(pid, None)  # popped, so that the dict's order is the order of news
        self.latest[pid] = program
        if last is not None:
            earlier = self._earlier.setdefault(pid, deque(maxlen=MAX_HISTORY))
            if last.since_ns <= program.since_ns:
                earlier.append(last)
            else:
                self.latest[pid] = last
                kept = sorted([*earlier, program], key=lambda known: known.since_ns)
                earlier.clear()
                earlier.extend(kept)
        elif len(self.latest) > MAX_PROCESSES:
            oldest = next(iter(self.latest))
            del self.latest[oldest]
            self._earlier.pop(oldest, None)

    def at(self, pid: int, timestamp_ns: int) -> Program:
        """What the process ran at that time; UNKNOWN before the first facts."""
        program = self.latest.get(pid, UNKNOWN)
        if timestamp_ns >= program.since_ns:
            return program
        for program in reversed(self._earlier.get(pid, ())):
            if timestamp_ns >= program.since_ns:
                return program
        return UNKNOWN
