"""Times of events: from CLOCK_MONOTONIC to the text of a wall-clock time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a datetime can say; hostile clocks are held within.
_FIRST = -62_135_596_800
_LAST = 253_402_300_799


class WallClock:
    """Turns timestamps into RFC 3339, UTC, nanoseconds, by the last Clock record.

    `prefix` ("2026-01-31T12:00:00.") serves each event of the second that begins at `second_ns` (CLOCK_MONOTONIC): the
    loop over the samples keeps both in locals, since making them costs more than all the rest of an event.
    `offset_ns`: from CLOCK_MONOTONIC to CLOCK_REALTIME.
    """

    def __init__(self) -> None:
        self.offset_ns = 0
        self.second_ns = 0
        self.prefix = ""
        self.enter_second(0)

    def set(self, monotonic_ns: int, realtime_ns: int) -> None:
        """Both clocks at one instant. Times that are asked for from now on follow."""
        self.offset_ns = realtime_ns - monotonic_ns
        self.enter_second(monotonic_ns)

    def enter_second(self, timestamp_ns: int) -> None:
        """Make `second_ns` and `prefix` those of the second that holds `timestamp_ns`."""
        second = (timestamp_ns + self.offset_ns) // SECOND
        self.second_ns = second * SECOND - self.offset_ns
        told = min(max(second, _FIRST), _LAST)
        self.prefix = (_EPOCH + timedelta(seconds=told)).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0")

    def text(self, timestamp_ns: int) -> str:
        """The time of one event."""
        if not 0 <= timestamp_ns - self.second_ns < SECOND:
            self.enter_second(timestamp_ns)
        return f"{self.prefix}{timestamp_ns - self.second_ns:09d}Z"
