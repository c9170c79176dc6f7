"""The decoder, on samples laid out by the built objects' own BTF."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.decoder import Decoder
from plainwire.decode.ordering import WINDOW_NS
from plainwire.decode.records import (
    FORMAT,
    AnyRecord,
    Clock,
    End,
    Header,
    Layout,
    LibraryFacts,
    Losses,
    ProcessFacts,
    Samples,
    Settings,
)
from plainwire.events import AnyEvent, DataEvent, LossEvent, StatsEvent
from tests.support.samples import connection, object_btf, ssl_data

SECOND = 1_000_000_000
# 2023-11-14T22:13:20Z at 1 s of CLOCK_MONOTONIC
CLOCK = Clock(1 * SECOND, 1_700_000_000 * SECOND)


# Of samples at 5 s, which ssl_data makes: what is missing before them is given up.
AFTER_THE_WINDOW = Clock(5 * SECOND + WINDOW_NS, 1_700_000_004 * SECOND + WINDOW_NS)


def start(settings: Settings | None = None) -> list[AnyRecord]:
    """The records of a capture's beginning."""
    return [
        Header(FORMAT, "0.1.0", "x86_64", "6.18", 1 * SECOND, settings or Settings()),
        Layout("processes", object_btf("processes")),
        Layout("openssl", object_btf("openssl")),
        CLOCK,
        LibraryFacts(7, "openssl", "/usr/lib/libssl.so.3", None),
        ProcessFacts(100, 0, "curl", "/usr/bin/curl", ("curl", "https://localhost")),
    ]


def decode(*records: AnyRecord, settings: Settings | None = None) -> list[AnyEvent]:
    """All events of a capture with these records after its beginning."""
    decoder = Decoder()
    events = []
    for record in (*start(settings), *records):
        events += decoder.feed(record)
    return events


def data_events(*samples: bytes, settings: Settings | None = None) -> list[DataEvent]:
    events = decode(Samples(list(samples)), settings=settings)
    assert all(isinstance(event, DataEvent) for event in events)
    return events  # type: ignore[return-value]


def test_every_field_of_a_data_event() -> None:
    (event,) = data_events(ssl_data(b"GET / HTTP/1.1\r\n\r\n", timestamp_ns=5_123_456_789, connection=connection()))
    assert msgspec.to_builtins(event, builtin_types=(bytes,)) == {
        "kind": "data",
        "schema": 1,
        "time": "2023-11-14T22:13:24.123456789Z",
        "timestamp_ns": 5_123_456_789,
        "module": "openssl",
        "direction": "write",
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "comm": "curl",
        "thread_comm": "worker",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost"],
        "container": None,
        "namespace_pid": None,
        "library": "/usr/lib/libssl.so.3",
        "ssl": 0x7F00_0000_1000,
        "fd": 5,
        "tls_version": "TLSv1.2",
        "bio_type": "SOCKET",
        "connection": {
            "id": 1,
            "family": "IPv4",
            "local_address": "10.0.0.1",
            "local_port": 40000,
            "remote_address": "10.0.0.2",
            "remote_port": 443,
            "net_namespace": 4026531840,
            "way": "set_fd",
            "opened": None,
            "closed": None,
        },
        "connection_note": None,
        "sequence": 0,
        "missing": 0,
        "call_length": 18,
        "offset": 0,
        "length": 18,
        "truncated": False,
        "early_data": False,
        "note": None,
        "data": b"GET / HTTP/1.1\r\n\r\n",
    }


def test_what_is_not_known_is_none() -> None:
    (event,) = data_events(ssl_data(type=0, pid=999, library=99, fd=-1, version=0, bio_type=0))
    assert (event.direction, event.fd, event.tls_version, event.bio_type) == ("read", None, None, None)
    assert (event.exe, event.cmdline, event.library, event.module) == (None, None, None, "openssl")


def test_numbers_without_a_name_and_names_that_are_not_utf8() -> None:
    (event,) = data_events(ssl_data(version=0x7F1C, bio_type=0x1234, comm=b"\xff\x1b[1m\0junk"))
    assert (event.tls_version, event.bio_type, event.comm) == ("0x7f1c", "0x1234", "�\x1b[1m")


@pytest.mark.parametrize(
    ("timestamp_ns", "time"),
    [
        (1 * SECOND, "2023-11-14T22:13:20.000000000Z"),
        (1 * SECOND + 1, "2023-11-14T22:13:20.000000001Z"),
        (1 * SECOND + 99_999_999, "2023-11-14T22:13:20.099999999Z"),
        (1 * SECOND + 100_000_000, "2023-11-14T22:13:20.100000000Z"),
        (2 * SECOND - 1, "2023-11-14T22:13:20.999999999Z"),
        (1 * SECOND - 1, "2023-11-14T22:13:19.999999999Z"),
        (0, "2023-11-14T22:13:19.000000000Z"),
        (2**64 - 1, "2608-06-04T21:47:52.709551615Z"),
    ],
)
def test_wall_clock(timestamp_ns: int, time: str) -> None:
    # The first event makes a second current, the others leave it.
    events = data_events(ssl_data(timestamp_ns=1 * SECOND), ssl_data(timestamp_ns=timestamp_ns, sequence=1))
    assert events[1].time == time


def test_a_clock_step_moves_later_events() -> None:
    events = decode(
        Samples([ssl_data(timestamp_ns=2 * SECOND)]),
        Clock(3 * SECOND, 1_800_000_000 * SECOND),
        Samples([ssl_data(timestamp_ns=3 * SECOND, sequence=1)]),
    )
    assert [event.time for event in events] == ["2023-11-14T22:13:21.000000000Z", "2027-01-15T08:00:00.000000000Z"]


def test_a_program_is_chosen_by_the_time_of_the_event() -> None:
    facts = ProcessFacts(100, 10 * SECOND, "python3", "/usr/bin/python3", ("python3",))
    samples = [ssl_data(timestamp_ns=at * SECOND, sequence=n) for n, at in enumerate((12, 9, 10))]
    events = decode(facts, Samples(samples))
    assert [event.exe for event in events] == ["/usr/bin/python3", "/usr/bin/curl", "/usr/bin/python3"]


def test_nothing_is_known_of_a_program_before_its_first_facts() -> None:
    facts = ProcessFacts(200, 10 * SECOND, "curl", "/usr/bin/curl", None)
    events = decode(facts, Samples([ssl_data(pid=200, timestamp_ns=9 * SECOND)]))
    assert [event.exe for event in events] == [None]


def test_a_jump_in_the_numbers_is_told_before_the_event() -> None:
    other, gap, first, second = decode(
        Samples([ssl_data(sequence=3), ssl_data(sequence=4), ssl_data(sequence=0, type=0)]), AFTER_THE_WINDOW
    )
    assert isinstance(gap, LossEvent)
    assert (gap.reason, gap.count, gap.pid, gap.ssl, gap.direction) == ("gap", 3, 100, 0x7F00_0000_1000, "write")
    assert isinstance(first, DataEvent)
    assert (first.missing, gap.time) == (3, first.time)
    assert [event.missing for event in (second, other)] == [0, 0]  # type: ignore[union-attr]


def test_lower_numbers_are_a_new_connection_at_the_same_address() -> None:
    events = decode(
        Samples([ssl_data(sequence=0), ssl_data(sequence=1), ssl_data(sequence=0), ssl_data(sequence=0, type=0)]),
        End(9 * SECOND),
    )
    stats = events.pop()
    assert [event.missing for event in events] == [0, 0, 0, 0]  # type: ignore[union-attr]
    assert isinstance(stats, StatsEvent)
    assert stats.connections == 2


def test_processes_with_the_same_address_are_two_connections() -> None:
    *events, stats = decode(Samples([ssl_data(pid=100), ssl_data(pid=200)]), End(9 * SECOND))
    assert [event.missing for event in events] == [0, 0]  # type: ignore[union-attr]
    assert isinstance(stats, StatsEvent)
    assert (stats.connections, stats.processes) == (2, 2)


def test_kernel_counters_are_told_as_they_grow() -> None:
    losses = decode(
        Losses(2 * SECOND, {"buffer_full": 0, "unreadable": 2}),
        Losses(3 * SECOND, {"buffer_full": 5, "unreadable": 2}),
        Losses(4 * SECOND, {"buffer_full": 7, "unreadable": 2}),
        End(5 * SECOND),
    )
    stats = losses.pop()
    assert [(event.reason, event.count, event.timestamp_ns // SECOND) for event in losses] == [  # type: ignore[union-attr]
        ("unreadable", 2, 2),
        ("buffer_full", 5, 3),
        ("buffer_full", 2, 4),
    ]
    assert isinstance(stats, StatsEvent)
    assert stats.losses == {"unreadable": 2, "buffer_full": 7}


def test_flags() -> None:
    unreadable, length_only, truncated, early = data_events(
        ssl_data(b"", sequence=0, flags=4, call_length=40_000, offset=32768),
        ssl_data(b"", sequence=1, flags=2, call_length=1_000_000),
        ssl_data(b"abc", sequence=2, flags=1, call_length=20_000_000),
        ssl_data(b"abc", sequence=3, flags=8),
    )
    assert (unreadable.note, unreadable.length, unreadable.data) == ("unreadable", 40_000 - 32768, b"")
    assert (length_only.note, length_only.length) == ("length only", 1_000_000)
    assert (truncated.truncated, truncated.note, truncated.length) == (True, None, 3)
    assert (early.early_data, early.truncated) == (True, False)


def test_an_unreadable_part_in_the_middle_is_as_long_as_an_event() -> None:
    (event,) = data_events(ssl_data(b"", flags=4, call_length=100_000, offset=16384))
    assert event.length == 16384


def test_bytes_behind_the_payload_are_padding() -> None:
    (event,) = data_events(ssl_data(b"abc") + b"\0\0\0\0\0")
    assert event.data == b"abc"


@pytest.mark.parametrize(
    "sample",
    [b"", b"\x01\0\0", b"\x01\0\0\0", ssl_data(b"abc")[:-1], ssl_data(b"abc", data_len=2**32 - 1), ssl_data(type=2)],
)
def test_a_malformed_sample_is_told_and_the_next_one_read(sample: bytes) -> None:
    loss, event, stats = decode(Samples([sample, ssl_data(b"abc")]), End(9 * SECOND))
    assert isinstance(loss, LossEvent)
    assert (loss.reason, loss.count) == ("malformed", 1)
    assert isinstance(event, DataEvent)
    assert isinstance(stats, StatsEvent)
    assert stats.losses == {"malformed": 1}


def test_kinds_of_other_parts_are_passed_over_and_unknown_ones_counted() -> None:
    stats = decode(Samples([b"\x05\0\0\0" + bytes(60), b"\xff\0\0\0", b"\xff\0\0\0" + bytes(300)]), End(9 * SECOND))
    assert len(stats) == 1
    assert isinstance(stats[0], StatsEvent)
    assert stats[0].losses == {"unknown_kind": 2}


def test_max_events_ends_the_output_exactly_there() -> None:
    decoder = Decoder()
    samples = [ssl_data(sequence=n) for n in range(5)]
    events = [
        event
        for record in (*start(Settings(max_events=3)), Samples(samples[:2]), Samples(samples[2:]), Samples(samples[:1]))
        for event in decoder.feed(record)
    ]
    assert [event.sequence for event in events] == [0, 1, 2]  # type: ignore[union-attr]
    assert decoder.finished
    (stats,) = decoder.feed(End(9 * SECOND))
    assert isinstance(stats, StatsEvent)
    assert (stats.events, stats.bytes, stats.complete) == (3, 15, True)


@pytest.mark.parametrize(
    ("settings", "pids"),
    [
        (Settings(userspace_filter=True, pids=(1, 3)), [1, 3]),
        (Settings(userspace_filter=True, uid=7), [2]),
        (Settings(userspace_filter=True, comms=("curl", "a-name-longer-than-15-bytes")), [1, 2, 4]),
        (Settings(userspace_filter=True, comms=("curl",), uid=0), [1]),
        (Settings(userspace_filter=True, comms=("\udcff",)), [5]),  # as the command line gives the byte 0xff
        (Settings(userspace_filter=True), [1, 2, 3, 4, 5]),
        (Settings(userspace_filter=False, pids=(1,)), [1, 2, 3, 4, 5]),
    ],
)
def test_filters_in_userspace(settings: Settings, pids: list[int]) -> None:
    samples = [
        ssl_data(pid=1, uid=0, comm=b"curl"),
        ssl_data(pid=2, uid=7, comm=b"curl"),
        ssl_data(pid=3, uid=0, comm=b"nginx"),
        ssl_data(pid=4, uid=1, comm=b"a-name-longer-t"),
        ssl_data(pid=5, uid=1, comm=b"\xff"),
    ]
    assert [event.pid for event in data_events(*samples, settings=settings)] == pids


def test_a_process_that_takes_a_wanted_name_has_lost_nothing() -> None:
    settings = Settings(userspace_filter=True, comms=("curl",))
    samples = [ssl_data(comm=b"sh"), ssl_data(sequence=1), ssl_data(sequence=2), ssl_data(sequence=9, type=0)]
    assert [event.missing for event in data_events(*samples, settings=settings)] == [0, 0, 0]


def test_stats_of_a_whole_capture() -> None:
    (*_, stats) = decode(Samples([ssl_data(b"abc", sequence=2)]), End(11 * SECOND))
    assert stats == StatsEvent(
        time="2023-11-14T22:13:30.000000000Z",
        timestamp_ns=11 * SECOND,
        duration_ns=10 * SECOND,
        events=1,
        bytes=3,
        processes=1,
        connections=1,
        secrets=0,
        secrets_verified=0,
        packets=0,
        packets_unattributed=0,
        commands=0,
        losses={"gap": 2},
        complete=True,
    )


def test_a_cut_capture_says_so_up_to_its_last_event() -> None:
    decoder = Decoder()
    for record in (*start(), Samples([ssl_data(b"abc", timestamp_ns=4 * SECOND)])):
        decoder.feed(record)
    (stats,) = decoder.cut()
    assert isinstance(stats, StatsEvent)
    assert (stats.complete, stats.duration_ns, stats.events) == (False, 3 * SECOND, 1)
    assert decoder.cut() == []
    assert decoder.feed(End(9 * SECOND)) == []


samples = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda kind, rest: bytes([kind, 0, 0, 0]) + rest, st.integers(0, 9), st.binary(max_size=200)),
    st.builds(lambda data, length: ssl_data(data, data_len=length), st.binary(max_size=30), st.integers(0, 40)),
)
u64 = st.integers(0, 2**64 - 1)
records = st.one_of(
    st.builds(Samples, st.lists(samples, max_size=8)),
    st.builds(Clock, u64, st.integers(-(2**63), 2**64 - 1)),
    st.builds(ProcessFacts, st.integers(0, 3), u64, st.text(max_size=3), st.none(), st.just(("a",))),
    st.builds(Losses, u64, st.dictionaries(st.text(max_size=3), u64, max_size=2)),
    st.builds(LibraryFacts, st.integers(0, 2**32), st.text(max_size=3), st.text(max_size=3), st.none()),
)


@given(st.lists(records, max_size=12), st.booleans())
def test_no_bytes_crash_it(hostile: list[AnyRecord], with_start: bool) -> None:
    decoder = Decoder()
    events = []
    for record in (*(start() if with_start else ()), *hostile):
        events += decoder.feed(record)
    data = [event for event in events if isinstance(event, DataEvent)]
    (stats,) = decoder.cut()
    assert isinstance(stats, StatsEvent)
    assert (stats.events, stats.bytes) == (len(data), sum(len(event.data) for event in data))
    told = {event.reason for event in events if isinstance(event, LossEvent)}
    counted = {reason for reason, count in stats.losses.items() if reason != "unknown_kind" and count}
    assert counted <= told
    assert told - counted <= {"gap"}  # it was one, until the events came late
    msgspec.json.encode([*events, stats])


@given(st.lists(samples, max_size=12), st.integers(0, 12))
def test_how_samples_are_cut_into_records_does_not_matter(hostile: list[bytes], at: int) -> None:
    assert decode(Samples(hostile)) == decode(Samples(hostile[:at]), Samples(hostile[at:]))
