"""Events out of order are put in order, and what never comes is told as lost where it is missing."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.ordering import MOST_HELD, WINDOW_NS, Ordering
from plainwire.decode.records import Clock, End, Samples
from plainwire.decode.sequences import UNKNOWN, ConnectionTable
from plainwire.events import AnyEvent, DataEvent, LossEvent, StatsEvent
from tests.decode.test_decoder import SECOND, decode
from tests.support.samples import ssl_data

MS = 1_000_000
END = End(9 * SECOND)


def told(events: Sequence[AnyEvent]) -> list[int | str]:
    """The numbers of the events and, before them, how many are missing."""
    found: list[int | str] = []
    for event in events:
        if isinstance(event, LossEvent):
            found.append(f"{event.reason} {event.count}")
        elif isinstance(event, DataEvent):
            found.append(event.sequence)
    return found


def at(*sequences: int, ms: int = 0) -> Samples:
    """Writes of one connection, 1 µs apart, from 5 s and some ms on."""
    return Samples(
        [ssl_data(sequence=n, timestamp_ns=5 * SECOND + ms * MS + i * 1000) for i, n in enumerate(sequences)]
    )


def test_events_that_passed_each_other_are_no_loss() -> None:
    *events, stats = decode(at(0, 2, 1, 3, 6, 5, 4, 7), END)
    assert told(events) == list(range(8))
    assert {event.missing for event in events} == {0}  # type: ignore[union-attr]
    assert isinstance(stats, StatsEvent)
    assert (stats.losses, stats.connections) == ({}, 1)


def test_they_may_come_in_another_read_of_the_buffer() -> None:
    assert told(decode(at(0, 2), at(3, ms=5), at(1, 4, ms=10))) == [0, 1, 2, 3, 4]


def test_what_does_not_come_in_time_is_lost_there() -> None:
    *events, stats = decode(at(0, 2, 3), at(4, ms=200), END)
    assert told(events) == [0, "gap 1", 2, 3, 4]
    assert [event.missing for event in events if isinstance(event, DataEvent)] == [0, 1, 0, 0]
    assert isinstance(stats, StatsEvent)
    assert stats.losses == {"gap": 1}


def test_the_clock_ends_the_wait_of_the_last_events() -> None:
    waiting = Clock(5 * SECOND + WINDOW_NS - 1, 0)
    over = Clock(5 * SECOND + WINDOW_NS, 0)
    assert told(decode(at(1), waiting)) == []
    assert told(decode(at(1), waiting, over)) == ["gap 1", 1]
    assert told(decode(at(1), END)) == ["gap 1", 1]


def test_another_connections_event_ends_it_too() -> None:
    other = ssl_data(ssl=1, timestamp_ns=5 * SECOND + WINDOW_NS)
    assert told(decode(at(2, 5), Samples([other]))) == ["gap 2", 2, 0]


def test_many_later_events_end_it() -> None:
    assert told(decode(at(0, *range(2, 2 + MOST_HELD)))) == [0]
    assert told(decode(at(0, *range(2, 3 + MOST_HELD)))) == [0, "gap 1", *range(2, 3 + MOST_HELD)]


def test_one_that_comes_later_still_is_told_as_late() -> None:
    *events, stats = decode(at(0, 3), at(4, ms=200), at(2, ms=300), at(5, 1, ms=400), END)
    assert told(events) == [0, "gap 2", 3, 4, "late 1", 2, 5, "late 1", 1]
    assert isinstance(stats, StatsEvent)
    assert (stats.losses, stats.connections) == ({"gap": 0, "late": 2}, 1)


def test_numbers_that_begin_anew_are_another_connection() -> None:
    *events, stats = decode(at(0, 1, 2, 0, 1, 0), END)
    assert told(events) == [0, 1, 2, 0, 1, 0]
    assert isinstance(stats, StatsEvent)
    assert (stats.losses, stats.connections) == ({}, 3)


def test_what_the_last_connection_lacks_is_told_before_the_next_one() -> None:
    assert told(decode(at(0, 1, 4, 0, 1))) == [0, 1, "gap 2", 4, 0, 1]


def test_directions_do_not_wait_for_each_other() -> None:
    read = ssl_data(type=0, timestamp_ns=5 * SECOND)
    assert told(decode(at(0, 2), Samples([read]), at(1, ms=1))) == [0, 0, 1, 2]


def test_the_first_number_of_an_unknown_connection_is_right() -> None:
    numbers = [UNKNOWN, 0]
    place = Ordering(ConnectionTable()).place((1, 2, 0), numbers, 9, 0, b"")
    assert (place.again, place.missing, numbers) == (None, 0, [10, 0])


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.integers(1, 12))
def test_any_order_comes_out_in_order_with_exactly_what_is_missing(order: list[int], lost: set[int], size: int) -> None:
    kept = [n for n in order if n not in lost]
    # The decoder can't know of what is lost after the last event.
    *events, stats = decode(*(at(*kept[i : i + size], ms=i) for i in range(0, len(kept), size)), END)
    data = [event for event in events if isinstance(event, DataEvent)]
    assert [event.sequence for event in data] == sorted(kept)
    assert [event.sequence - event.missing for event in data] == [0, *(n + 1 for n in sorted(kept))][: len(data)]
    assert isinstance(stats, StatsEvent)
    assert stats.losses.get("gap", 0) == len([n for n in lost if kept and n < max(kept)])
    assert stats.connections == (1 if kept else 0)


def test_what_is_held_is_bounded() -> None:
    ordering = Ordering(ConnectionTable())
    for ssl in range(3000):
        place = ordering.place((1, ssl, 0), [0, 0], 5, 0, bytes(16384))
        assert place.again is not None
    assert sum(len(queue) for queue in ordering.held.values()) * 16384 <= 16 << 20
