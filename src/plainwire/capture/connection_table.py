"""The connections that are open now: a capture's events in, rows out.

A connection is known by its two ends and its network namespace; where these are not known, by the process and its SSL
structure. It leaves the table when its end is told, when its process has gone, and without ends when it was idle long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from plainwire.events import (
    AnyEvent,
    CloseEvent,
    ConnectEvent,
    Connection,
    ConnectionNote,
    ConnectionState,
    DataEvent,
    LossEvent,
    TlsEvent,
)

_MAX_STRUCTURES = 65536
# Nothing tells when an SSL structure without a socket has done its work.
_IDLE_NS = 60_000_000_000
_ASK_AGAIN_NS = 1_000_000_000
_MAX_ANSWERS = 65536


class Ends(NamedTuple):
    """What the rows of known connections go by."""

    net_namespace: int
    local_address: str | None
    local_port: int | None
    remote_address: str | None
    remote_port: int | None
    unix: int | None  # the connection's number, where there are no addresses


Structure = tuple[int, int]  # pid and address of an SSL structure


@dataclass(slots=True)
class _Row:
    pid: int
    uid: int
    comm: str
    exe: str | None
    container: str | None
    ends: Ends | None
    family: str | None
    note: ConnectionNote | None = None
    tls_version: str | None = None
    cipher: str | None = None
    read_bytes: int = 0
    written_bytes: int = 0
    opened_ns: int | None = None
    last_ns: int = 0


class ConnectionTable:
    """serves: whether a process uses TLS, so that its connections are shown before their first data."""

    def __init__(self, serves: Callable[[int], bool]) -> None:
        self.lost = 0  # events: the bytes are too few then
        self._serves = serves
        self._answers: dict[int, tuple[int, bool]] = {}  # of serves, by pid, with the time of the event
        self._rows: dict[Ends | Structure, _Row] = {}
        self._agreed: dict[Structure, tuple[str | None, str | None]] = {}  # version and cipher

    def feed(self, events: Iterable[AnyEvent]) -> None:
        """What a capture has told, in order."""
        for event in events:
            if isinstance(event, DataEvent):
                self._moved(event)
            elif isinstance(event, TlsEvent):
                if len(self._agreed) >= _MAX_STRUCTURES:
                    del self._agreed[next(iter(self._agreed))]
                self._agreed[event.pid, event.ssl] = event.tls_version, event.cipher
            elif isinstance(event, ConnectEvent):
                self._opened(event)
            elif isinstance(event, CloseEvent):
                self._rows.pop(_ends(event.connection), None)
            elif isinstance(event, LossEvent) and event.reason in ("buffer_full", "no_scratch", "arguments_full"):
                self.lost += event.count

    def _moved(self, event: DataEvent) -> None:
        structure = (event.pid, event.ssl)
        ends = _ends(event.connection) if event.connection else None
        row = self._rows.get(ends or structure)
        if row is None or (ends is None and event.sequence == 0):  # the structure serves another connection now
            family = event.connection.family if event.connection else None
            row = self._rows[ends or structure] = _row(event, ends, family)
            if event.connection and event.connection.opened:
                row.opened_ns = event.timestamp_ns - _difference_ns(event.connection.opened, event.time)
        if ends is not None and structure in self._rows:  # its connection is known from now on
            earlier = self._rows.pop(structure)
            row.read_bytes += earlier.read_bytes
            row.written_bytes += earlier.written_bytes
        row.pid, row.uid, row.comm, row.exe = event.pid, event.uid, event.comm, event.exe  # who uses it now
        row.container = event.container
        row.note = event.connection_note
        version, row.cipher = self._agreed.get(structure, (None, row.cipher))
        row.tls_version = version or event.tls_version or row.tls_version
        if event.direction == "read":
            row.read_bytes += event.length
        else:
            row.written_bytes += event.length
        row.last_ns = event.timestamp_ns

    def _opened(self, event: ConnectEvent) -> None:
        if event.error is not None:
            return
        ends = _ends(event.connection)
        known = self._rows.get(ends)
        if known is None and not self._uses_tls(event.pid, event.timestamp_ns):
            return
        row = known or _row(event, ends, event.connection.family)
        if event.connection.opened is not None:
            row.opened_ns = event.timestamp_ns
        self._rows[ends] = row

    def _uses_tls(self, pid: int, now_ns: int) -> bool:
        """Asked once a second at most: a process without TLS may open many connections, and it takes a while to see."""
        asked_ns, answer = self._answers.get(pid, (0, False))
        if not asked_ns or abs(now_ns - asked_ns) > _ASK_AGAIN_NS:
            if len(self._answers) >= _MAX_ANSWERS:
                self._answers.clear()
            answer = self._serves(pid)
            self._answers[pid] = now_ns, answer
        return answer

    def pids(self) -> set[int]:
        """The processes of the connections."""
        return {row.pid for row in self._rows.values()}

    def forget(self, pids: Iterable[int]) -> None:
        """These processes have gone, and their connections with them."""
        gone = set(pids)
        for key in [key for key, row in self._rows.items() if row.pid in gone]:
            del self._rows[key]

    def states(self, time: str, now_ns: int) -> list[ConnectionState]:
        """The connections, those first that moved most, then by process and addresses. time, now_ns: now.

        Amounts are compared by their powers of two: else two that are as busy would change places all the time.
        """
        for key in [key for key, row in self._rows.items() if row.ends is None and now_ns - row.last_ns > _IDLE_NS]:
            del self._rows[key]
        found = [_state(row, time, now_ns) for row in self._rows.values()]
        return sorted(found, key=_order)


def _row(event: DataEvent | ConnectEvent, ends: Ends | None, family: str | None) -> _Row:
    return _Row(event.pid, event.uid, event.comm, event.exe, event.container, ends, family)


def _ends(connection: Connection) -> Ends:
    unix = connection.id if connection.family in ("unix", "pipe") else None
    return Ends(
        connection.net_namespace,
        connection.local_address,
        connection.local_port,
        connection.remote_address,
        connection.remote_port,
        unix,
    )


def _difference_ns(earlier: str, later: str) -> int:
    """Between two times as events have them: RFC 3339 with nine digits of a second."""
    seconds = datetime.fromisoformat(later[:19]) - datetime.fromisoformat(earlier[:19])
    return int(seconds.total_seconds()) * 1_000_000_000 + int(later[20:29]) - int(earlier[20:29])


def _state(row: _Row, time: str, now_ns: int) -> ConnectionState:
    ends = row.ends
    return ConnectionState(
        time,
        now_ns,
        row.pid,
        row.uid,
        row.comm,
        row.exe,
        row.container,
        row.family,  # type: ignore[arg-type]
        ends and ends.local_address,
        ends and ends.local_port,
        ends and ends.remote_address,
        ends and ends.remote_port,
        ends and ends.net_namespace,
        row.note,
        row.tls_version,
        row.cipher,
        row.read_bytes,
        row.written_bytes,
        None if row.opened_ns is None else max(now_ns - row.opened_ns, 0),
    )


def _order(state: ConnectionState) -> tuple[int | str, ...]:
    return (
        -(state.read_bytes + state.written_bytes).bit_length(),
        state.comm,
        state.pid,
        state.remote_address or "",
        state.remote_port or 0,
        state.local_port or 0,
    )
