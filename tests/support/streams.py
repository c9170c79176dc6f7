"""Puts a capture's data events together to streams, and finds fault with any that is not whole."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_EVENT = 16384  # the most that one event carries


@dataclass(slots=True)
class Stream:
    """One direction of one SSL structure, from its first event on."""

    pid: int
    ssl: int
    direction: str
    data: bytearray = field(default_factory=bytearray)
    events: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: dict[str, Any]) -> None:
        assert event["sequence"] == len(self.events), event
        assert event["missing"] == 0
        last = self.events[-1] if self.events else None
        if last is not None and last["offset"] + last["length"] < last["call_length"]:
            assert event["offset"] == last["offset"] + last["length"], "a call's events in order, without a hole"
            assert event["call_length"] == last["call_length"]
        else:
            assert event["offset"] == 0, "a new call begins at its first byte"
        payload = base64.b64decode(event["data"])
        assert len(payload) == event["length"] == min(MAX_EVENT, event["call_length"] - event["offset"])
        self.events.append(event)
        self.data += payload

    @property
    def calls(self) -> list[int]:
        """The length of each call."""
        return [event["call_length"] for event in self.events if event["offset"] == 0]


def streams(events: Iterable[dict[str, Any]], *, pid: int | None = None) -> list[Stream]:
    """Whole streams in the order of their first events; AssertionError where something is missing, doubled or mixed.

    An address that comes again with number 0 is a new connection's.
    """
    found: list[Stream] = []
    current: dict[tuple[int, int, str], Stream] = {}
    for event in events:
        if event["kind"] != "data" or pid not in (None, event["pid"]):
            continue
        key = event["pid"], event["ssl"], event["direction"]
        if key not in current or event["sequence"] == 0:
            current[key] = Stream(*key)
            found.append(current[key])
        current[key].add(event)
    return found


def bytes_of(events: Iterable[dict[str, Any]], pid: int, direction: str) -> list[bytes]:
    """The streams of one process and direction, one for each connection."""
    return [bytes(stream.data) for stream in streams(events, pid=pid) if stream.direction == direction]
