"""Events in, open connections out."""

from __future__ import annotations

from typing import Any

from plainwire.capture.connection_table import ConnectionTable
from plainwire.events import AnyEvent, ConnectionState, TlsEvent
from tests.support.events import close_event, connect_event, connection, data_event, loss_event

SECOND = 1_000_000_000
NOW = "2026-02-03T16:03:10.000000000Z"
PID = data_event(b"").pid
SSL = data_event(b"").ssl
THERE = connection()


def tls_event(**fields: Any) -> TlsEvent:
    """Of the SSL structure of `data_event`, unless the fields say otherwise."""
    values = {"pid": PID, "ssl": SSL, "tls_version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"} | fields
    return TlsEvent(
        time=NOW,
        timestamp_ns=0,
        module="openssl",
        tid=1,
        uid=0,
        comm="curl",
        exe=None,
        cmdline=None,
        library=None,
        container=None,
        namespace_pid=None,
        **values,
    )


def table_of(*events: AnyEvent, serves: bool = True) -> ConnectionTable:
    table = ConnectionTable(lambda _pid: serves)
    table.feed(events)
    return table


def states(table: ConnectionTable, now_ns: int = 0) -> list[ConnectionState]:
    return table.states(NOW, now_ns)


def test_bytes_of_each_direction_and_what_was_agreed_on() -> None:
    table = table_of(
        tls_event(),
        data_event(b"abc", connection=THERE),
        data_event(b"defgh", connection=THERE, direction="read"),
        data_event(b"x", connection=THERE),
    )
    (state,) = states(table)
    assert (state.read_bytes, state.written_bytes) == (5, 4)
    assert (state.tls_version, state.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert (state.pid, state.comm) == (PID, "curl")
    assert (state.local_address, state.local_port) == (THERE.local_address, THERE.local_port)
    assert (state.remote_address, state.remote_port) == (THERE.remote_address, THERE.remote_port)


def test_an_opened_connection_has_an_age_and_a_closed_one_is_gone() -> None:
    opened = connect_event(connection=connection(opened=NOW), timestamp_ns=3 * SECOND)
    table = table_of(opened)
    (state,) = states(table, 5 * SECOND)
    assert (state.age_ns, state.read_bytes) == (2 * SECOND, 0)
    table.feed([close_event(connection=connection(closed=NOW))])
    assert states(table) == []


def test_the_age_of_a_connection_whose_opening_was_not_told() -> None:
    there = connection(opened="2026-02-03T16:03:04.900000000Z")
    event = data_event(b"x", connection=there, time="2026-02-03T16:03:06.000000001Z", timestamp_ns=10 * SECOND)
    (state,) = states(table_of(event), 10 * SECOND)
    assert state.age_ns == 1_100_000_001


def test_connections_of_processes_without_tls_are_not_shown_until_they_move_data() -> None:
    table = table_of(connect_event(connection=THERE), serves=False)
    assert states(table) == []
    table.feed([data_event(b"x", connection=THERE)])
    assert len(states(table)) == 1


def test_one_that_could_not_be_opened_is_none() -> None:
    assert states(table_of(connect_event(connection=THERE, error="ECONNREFUSED"))) == []


def test_one_that_is_older_is_the_one_that_moves_data() -> None:
    table = table_of(connect_event(connection=connection(opened=None), direction=None))
    (before,) = states(table)
    assert (before.comm, before.tls_version, before.written_bytes, before.age_ns) == ("curl", None, 0, None)
    table.feed([data_event(b"x", connection=THERE)])
    (after,) = states(table)
    assert after.written_bytes == 1
    # Equal addresses, another place.
    table.feed([connect_event(connection=connection(net_namespace=THERE.net_namespace + 1))])
    assert len(states(table)) == 2


def test_bytes_that_came_before_the_connection_was_known_are_its_own() -> None:
    table = table_of(
        data_event(b"abc", connection=None, connection_note="no socket used yet"),
        data_event(b"d", connection=THERE, sequence=1),
    )
    (state,) = states(table)
    assert (state.written_bytes, state.connection_note) == (4, None)


def test_without_ends_it_is_the_ssl_structure_until_it_is_used_anew() -> None:
    note = "no socket used yet"
    table = table_of(
        data_event(b"abc", connection=None, connection_note=note),
        data_event(b"d", connection=None, connection_note=note, sequence=1),
    )
    (state,) = states(table)
    assert (state.written_bytes, state.local_address, state.connection_note) == (4, None, note)
    table.feed([data_event(b"z", connection=None, connection_note=note)])
    (state,) = states(table)
    assert state.written_bytes == 1
    assert states(table, now_ns=10**18) == []


def test_a_process_that_has_gone_takes_its_connections_with_it() -> None:
    table = table_of(data_event(b"x", connection=THERE))
    assert table.pids() == {PID}
    table.forget([PID + 1])
    assert len(states(table)) == 1
    table.forget([PID])
    assert states(table) == []


def test_lost_events_are_counted() -> None:
    assert table_of(loss_event("buffer_full", 3), loss_event("gap", 3)).lost == 3


def test_what_moved_most_comes_first() -> None:
    table = table_of(
        data_event(b"x", connection=connection(local_port=2)),
        data_event(b"x" * 100, connection=connection(local_port=3)),
        connect_event(connection=connection(local_port=1)),
    )
    assert [state.local_port for state in states(table)] == [3, 2, 1]


def test_processes_are_asked_for_tls_once_a_second() -> None:
    asked: list[int] = []
    table = ConnectionTable(lambda pid: bool(asked.append(pid)))
    for port in range(100):
        table.feed([connect_event(connection=connection(local_port=port), timestamp_ns=SECOND + port)])
    assert asked == [PID]
    table.feed([connect_event(connection=THERE, timestamp_ns=3 * SECOND)])
    assert asked == [PID, PID]
