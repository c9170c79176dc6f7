"""Events that come before the ones that they follow: told apart from events whose predecessors were lost.

A thread numbers its event and then writes it to the buffer; another one may pass it in between, where both use one
connection. So an event whose number is too high is held until the missing ones come, or have had time to.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import NamedTuple

from plainwire.decode.sequences import UNKNOWN, ConnectionTable

WINDOW_NS = 100_000_000
"""How long an event is held, by the times of the events. A preempted thread goes on sooner."""
MOST_HELD = 64
"""Of one connection and direction: after so many later ones, the missing event is lost."""
NEVER = 1 << 66
_MOST_BYTES = 16 << 20  # held in all
_STEP_NS = 1_000_000  # what is held is looked at no more often than this
_CONNECTIONS_KEPT, _RANGES_KEPT = 4096, 16  # of lost numbers

Key = tuple[int, int, int]  # pid, ssl, direction


class _Held(NamedTuple):
    sequence: int
    timestamp_ns: int
    sample: bytes


class Place(NamedTuple):
    """What is to be done with a sample. again: samples to read instead; None: it is to be given out now.

    missing: events lost before it. late: it was given up as lost before.
    """

    missing: int = 0
    late: bool = False
    again: list[bytes] | None = None


_NOW, _LATE, _HOLD = Place(), Place(late=True), Place(again=[])


class Ordering:
    """The events that are held. due: the time (CLOCK_MONOTONIC) from which `overdue` has some; NEVER: none is held."""

    def __init__(self, connections: ConnectionTable) -> None:
        self.due = NEVER
        self.held: dict[Key, list[_Held]] = {}
        self._connections = connections
        self._bytes = 0
        self._given_up: set[tuple[Key, int]] = set()  # events that need wait no longer
        self._lost: dict[Key, deque[tuple[int, int]]] = {}  # ranges of numbers

    def place(self, key: Key, numbers: list[int], sequence: int, timestamp_ns: int, sample: bytes) -> Place:
        """Where a sample belongs whose number is not the next one; numbers: those of the connection."""
        direction = key[2]
        expected = numbers[direction]
        if expected == UNKNOWN:
            numbers[direction] = sequence + 1
            return _NOW
        if sequence < expected:
            if self._was_lost(key, sequence):
                return _LATE
            # The kernel's numbers began anew: another connection at the address, or the kernel had forgotten this one.
            pid, ssl, _ = key
            before = [*self._give_up((pid, ssl, 0)), *self._give_up((pid, ssl, 1))]
            if before:
                return Place(again=[*before, sample])
            for each in (0, 1):
                self._lost.pop((pid, ssl, each), None)
            self._connections.restart(numbers)
            if sequence == 0:
                numbers[direction] = 1
                return _NOW
        if (key, sequence) in self._given_up:
            self._given_up.remove((key, sequence))
            missing = sequence - numbers[direction]
            self._remember_lost(key, numbers[direction], sequence)
            numbers[direction] = sequence + 1
            return Place(missing=missing)
        return self._hold(key, _Held(sequence, timestamp_ns, sample))

    def _hold(self, key: Key, held: _Held) -> Place:
        queue = self.held.setdefault(key, [])
        insort(queue, held)
        self._bytes += len(held.sample)
        self.due = min(self.due, queue[0].timestamp_ns + WINDOW_NS)
        if len(queue) > MOST_HELD:
            return Place(again=self._next_run(key))
        if self._bytes > _MOST_BYTES:
            return Place(again=self.all())
        return _HOLD

    def following(self, key: Key, expected: int) -> list[bytes]:
        """The samples that are held and come next."""
        queue = self.held[key]
        end = 0
        while end < len(queue) and queue[end].sequence <= expected:
            expected += queue[end].sequence == expected
            end += 1
        return self._take(key, end)

    def overdue(self, now_ns: int) -> list[bytes]:
        """The samples that have waited long enough. They are read at once, before all others."""
        released: list[bytes] = []
        due = NEVER
        for key, queue in list(self.held.items()):
            while queue and queue[0].timestamp_ns + WINDOW_NS <= now_ns:
                released += self._next_run(key)
            if queue:
                due = min(due, queue[0].timestamp_ns + WINDOW_NS)
        self.due = due if due == NEVER else max(due, now_ns + _STEP_NS)
        return released

    def all(self) -> list[bytes]:
        """All samples that are held, for the end."""
        return [sample for key in list(self.held) for sample in self._give_up(key)]

    def _give_up(self, key: Key) -> list[bytes]:
        released: list[bytes] = []
        while key in self.held:
            released += self._next_run(key)
        return released

    def _next_run(self, key: Key) -> list[bytes]:
        """The first samples of a queue up to the next gap; what is missing before them is given up."""
        queue = self.held[key]
        self._given_up.add((key, queue[0].sequence))
        end = 1
        while end < len(queue) and queue[end].sequence - queue[end - 1].sequence <= 1:
            end += 1
        return self._take(key, end)

    def _take(self, key: Key, end: int) -> list[bytes]:
        queue = self.held[key]
        samples = [held.sample for held in queue[:end]]
        del queue[:end]
        self._bytes -= sum(map(len, samples))
        if not queue:
            del self.held[key]
            if not self.held:
                self.due = NEVER
        return samples

    def _remember_lost(self, key: Key, start: int, end: int) -> None:
        if key not in self._lost and len(self._lost) >= _CONNECTIONS_KEPT:
            del self._lost[next(iter(self._lost))]
        self._lost.setdefault(key, deque(maxlen=_RANGES_KEPT)).append((start, end))

    def _was_lost(self, key: Key, sequence: int) -> bool:
        """Whether this event was given up; it no longer is then."""
        ranges = self._lost.get(key, ())
        for start, end in ranges:
            if start <= sequence < end:
                assert isinstance(ranges, deque)
                ranges.remove((start, end))
                ranges.extend(part for part in ((start, sequence), (sequence + 1, end)) if part[0] < part[1])
                return True
        return False
