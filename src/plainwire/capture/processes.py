"""Who the processes are whose events come: kept from process events while they live, given out when they are needed.

The facts of a process that sends nothing never leave here: a recording holds no stranger's command line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from plainwire.decode.abi import ExecEvent, ProcessEvent
from plainwire.decode.records import ProcessFacts
from plainwire.errors import PlainwireError
from plainwire.inspect import process
from plainwire.inspect.containers import container_of, container_of_cgroup

# Events of a process may be read after its end: so many ended ones are remembered.
_MAX_DEAD = 4096


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _other(namespace_pid: int, pid: int) -> int | None:
    return namespace_pid if namespace_pid != pid else None


class ProcessTracker:
    """The facts of live processes and of those that ended last."""

    def __init__(self) -> None:
        self._facts: dict[int, ProcessFacts] = {}
        self._given: set[int] = set()
        self._dead: deque[tuple[int, ProcessFacts | None]] = deque()

    def executed(self, event: ExecEvent) -> list[ProcessFacts]:
        """A process runs a new program. The facts, if those of its last program were given out."""
        filename, arguments = event.text[: event.filename_len], event.text[event.filename_len :]
        cmdline = tuple(_text(argument) for argument in arguments.split(b"\0")[:-1])
        # While it lives /proc knows the file by its full name; execve may have got a relative one.
        exe = process.executable(event.pid) or _text(filename.rstrip(b"\0")) or None
        container = container_of_cgroup(event.cgroup_id) or container_of(event.pid)
        comm = _text(event.comm.rstrip(b"\0"))
        own_pid = _other(event.namespace_pid, event.pid)
        return self._put(ProcessFacts(event.pid, event.timestamp_ns, comm, exe, cmdline or None, container, own_pid))

    def forked(self, event: ProcessEvent) -> list[ProcessFacts]:
        """A child runs its parent's program until it runs its own."""
        parent = self._facts.get(event.parent_pid) or self._read(event.parent_pid)
        if parent is None:
            return []
        own_pid = _other(event.namespace_pid, event.pid)
        program = (parent.comm, parent.exe, parent.cmdline, parent.container)
        return self._put(ProcessFacts(event.pid, event.timestamp_ns, *program, own_pid))

    def exited(self, pid: int) -> None:
        """A process has ended; its events may still come."""
        self._dead.append((pid, self._facts.get(pid)))
        if len(self._dead) > _MAX_DEAD:
            gone, facts = self._dead.popleft()
            if self._facts.get(gone) is facts:  # else the number was given to another process
                self._facts.pop(gone, None)
                self._given.discard(gone)

    def needed(self, pids: Iterable[int]) -> list[ProcessFacts]:
        """The facts of these processes that were not given out yet."""
        found = []
        for pid in pids:
            if pid in self._given:
                continue
            facts = self._facts.get(pid) or self._read(pid)
            if facts is not None:
                self._given.add(pid)
                found.append(facts)
        return found

    def container(self, pid: int) -> str | None:
        """The container of a process; known for a while after its end."""
        facts = self._facts.get(pid) or self._read(pid)
        return facts.container if facts else None

    def _put(self, facts: ProcessFacts) -> list[ProcessFacts]:
        self._facts[facts.pid] = facts
        return [facts] if facts.pid in self._given else []

    def _read(self, pid: int) -> ProcessFacts | None:
        with suppress(PlainwireError):
            seen = process.process(pid)
            # Older than the capture: what it ran before nobody asks.
            own_pid = _other(seen.namespace_pids[-1], pid) if seen.namespace_pids else None
            self._facts[pid] = ProcessFacts(pid, 0, seen.comm, seen.exe, seen.cmdline, container_of(pid), own_pid)
        return self._facts.get(pid)
