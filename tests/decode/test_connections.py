"""Opened and closed connections: from samples of the real layout to events."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.decoder import Decoder
from plainwire.decode.records import Clock, Header, Layout, ProcessFacts, Samples, Settings
from plainwire.events import AnyEvent, CloseEvent, ConnectEvent, DataEvent
from tests.support.samples import connect_event, connection, object_btf, ssl_data

SECOND = 1_000_000_000
START = 1_700_000_000  # CLOCK_REALTIME when CLOCK_MONOTONIC is 0: 2023-11-14T22:13:20Z
OPENED, NOW = "2023-11-14T22:13:24.000000000Z", "2023-11-14T22:13:25.000000000Z"


def decode(*samples: bytes, settings: Settings | None = None) -> list[AnyEvent]:
    decoder = Decoder()
    records = [
        Header(1, "test", "x86_64", "6.18", SECOND, settings or Settings()),
        Layout("openssl", object_btf("openssl")),
        Clock(SECOND, (START + 1) * SECOND),
        ProcessFacts(100, 0, "curl", "/usr/bin/curl", ("curl", "https://localhost")),
        Samples(list(samples)),
    ]
    return [event for record in records for event in decoder.feed(record)]


def test_every_field_of_a_connect_event() -> None:
    (event,) = decode(connect_event())
    assert msgspec.to_builtins(event) == {
        "kind": "connect",
        "schema": 1,
        "time": OPENED,
        "timestamp_ns": 4 * SECOND,
        "direction": "connect",
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "comm": "curl",
        "thread_comm": "worker",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost"],
        "container": None,
        "namespace_pid": None,
        "fd": 5,
        "connection": {
            "id": 1,
            "family": "IPv4",
            "local_address": "10.0.0.1",
            "local_port": 40000,
            "remote_address": "10.0.0.2",
            "remote_port": 443,
            "net_namespace": 4026531840,
            "way": None,
            "opened": OPENED,
            "closed": None,
        },
        "error": None,
    }


def test_every_field_of_a_close_event() -> None:
    numbers = {"tls_read": 11, "tls_written": 12, "tcp_received": 13, "tcp_sent": 14}
    (event,) = decode(connect_event(is_destroy=1, direction=2, **numbers))
    assert isinstance(event, CloseEvent)
    assert (event.time, event.direction, event.duration_ns) == (NOW, "accept", SECOND)
    assert (event.connection.opened, event.connection.closed) == (OPENED, NOW)
    assert (event.read_bytes, event.written_bytes, event.tcp_received_bytes, event.tcp_sent_bytes) == (11, 12, 13, 14)


def test_what_is_older_than_the_capture() -> None:
    opened, closed = decode(
        connect_event(direction=0, opened_ns=0, fd=-1), connect_event(direction=0, opened_ns=0, is_destroy=1)
    )
    assert isinstance(opened, ConnectEvent)
    assert (opened.time, opened.direction, opened.fd, opened.connection.opened) == (NOW, None, None, None)
    assert isinstance(closed, CloseEvent)
    assert (closed.direction, closed.duration_ns, closed.connection.opened) == (None, None, None)


@pytest.mark.parametrize(("error", "name"), [(111, "ECONNREFUSED"), (0, "unknown"), (9999, "9999")])
def test_one_that_could_not_be_opened(error: int, name: str) -> None:
    (event,) = decode(connect_event(failed=1, error=error, opened_ns=0))
    assert isinstance(event, ConnectEvent)
    assert (event.error, event.connection.opened) == (name, None)


def test_one_connection_has_one_number_and_the_next_at_its_place_another() -> None:
    """Also where the kernel gives the new socket the address of the old one, and the program the same ports."""
    opened, data, closed, again = decode(
        connect_event(inode=7), ssl_data(connection=connection(inode=7)), connect_event(inode=7, is_destroy=1),
        connect_event(inode=7, opened_ns=5 * SECOND),
    )  # fmt: skip
    assert isinstance(opened, ConnectEvent)
    assert isinstance(data, DataEvent)
    assert isinstance(closed, CloseEvent)
    assert isinstance(again, ConnectEvent)
    assert data.connection is not None
    assert data.connection.opened == OPENED
    assert opened.connection.id == data.connection.id == closed.connection.id != again.connection.id


def test_filters_in_userspace() -> None:
    settings = Settings(userspace_filter=True, pids=(100,))
    (event,) = decode(connect_event(pid=99), connect_event(), settings=settings)
    assert isinstance(event, ConnectEvent)
    assert event.pid == 100


@given(st.binary(max_size=220))
def test_no_bytes_crash_it(body: bytes) -> None:
    events = decode(b"\x06\0\0\0" + body)
    assert len(events) == 1
