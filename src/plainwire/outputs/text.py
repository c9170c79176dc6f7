"""Text for people: a header line per event, then its payload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from plainwire.decode.packet_batch import PacketBatch
from plainwire.events import AnyEvent, CloseEvent, CommandEvent, ConnectEvent, Connection, DataEvent, LossEvent
from plainwire.outputs.clean import MARK, clean_name, clean_text
from plainwire.outputs.losses import loss_sentence
from plainwire.outputs.style import Style
from plainwire.outputs.words import counted

_NOTES = {
    "unreadable": "the bytes were not in memory when the kernel looked: not captured",
    "length only": "sent from a file by the kernel: the bytes never were in the process's memory",
}

_NAMES = {"unix": "unix socket", "pipe": "pipe"}
_OPENINGS = {"connect": "opened", "accept": "accepted", None: "open since before the capture"}


class TextFormat:
    """Header lines and payloads. Stats are left to the summary on stderr.

    A header begins with MARK, and no line of a payload does. `payload` renders an event's bytes.
    """

    def __init__(self, payload: Callable[[DataEvent], bytes], style: Style) -> None:
        self._payload = payload
        self._style = style
        self._date = "none yet"
        # A header is laid together from parts that repeat, in half the time that formatting it takes.
        self._start = f"{style.dim}{MARK} ".encode()
        self._middle = lru_cache(maxsize=4096)(self._format_middle)
        self._end = f"{style.reset}\n".encode()

    def encode(self, events: Sequence[AnyEvent]) -> bytes:
        """The text of `events`, in whole lines."""
        parts: list[bytes] = []
        if isinstance(events, PacketBatch):
            return b""
        for event in events:
            # Others have outputs of their own: summary, key log, pcapng.
            if not isinstance(event, DataEvent | LossEvent | ConnectEvent | CloseEvent | CommandEvent):
                continue
            if not event.time.startswith(self._date):
                self._date = event.time[:10]
                parts.append(f"{self._style.dim}{MARK} {self._date}, times are UTC{self._style.reset}\n".encode())
            if isinstance(event, DataEvent):
                self._add_header(parts, event)
                if event.data:
                    parts.append(self._payload(event))
            elif isinstance(event, ConnectEvent):
                parts.append(self._opening(event))
            elif isinstance(event, CloseEvent):
                parts.append(self._closing(event))
            elif isinstance(event, CommandEvent):
                parts.append(self._command(event))
            elif isinstance(event, LossEvent) and event.reason != "gap":  # a gap stands in the header after it
                parts.append(self._loss(event))
        return b"".join(parts)

    def _loss(self, event: LossEvent) -> bytes:
        sentence = loss_sentence(event.reason, event.count)
        return f"{self._style.alarm}{MARK} {event.time[11:26]}Z  LOST {sentence}{self._style.reset}\n".encode()

    def _opening(self, event: ConnectEvent) -> bytes:
        happened = _OPENINGS[event.direction]
        if event.error is not None:
            happened = f"{self._style.alarm}not opened: {clean_name(event.error)}"
        return self._connection_line(event, event.connection.opened or event.time, happened)

    def _closing(self, event: CloseEvent) -> bytes:
        age = "" if event.duration_ns is None else f" after {event.duration_ns / 1e9:.3f} s"
        read, written = counted(event.read_bytes, "byte"), counted(event.written_bytes, "byte")
        tcp = f"TCP {event.tcp_received_bytes:,} and {event.tcp_sent_bytes:,}"
        return self._connection_line(event, event.time, f"closed{age}: {read} read, {written} written ({tcp})")

    def _connection_line(self, event: ConnectEvent | CloseEvent, time: str, happened: str) -> bytes:
        style = self._style
        who = _process(event.comm, event.pid, event.namespace_pid)
        arrow = {"connect": "→", "accept": "←"}.get(event.direction or "", "⇄")
        return (
            f"{style.dim}{MARK} {time[11:26]}Z{style.reset}  {style.bold}{who}{style.reset}"
            f" {_ends(event.connection, arrow)}  {happened}{style.reset}\n"
        ).encode()

    def _command(self, event: CommandEvent) -> bytes:
        style = self._style
        who = f"{style.bold}{clean_name(event.comm)}[{event.pid}]{style.reset} user {event.uid}"
        if event.return_code is None:
            outcome = "still running" if event.duration_ns is None else "became another program"
        else:
            outcome = f"{style.alarm if event.return_code else ''}returned {event.return_code}{style.reset}"
        after = "" if event.duration_ns is None else f" after {event.duration_ns / 1e9:.3f} s"
        cut = f"  {style.alarm}some of its text is missing{style.reset}" if event.truncated else ""
        header = f"{style.dim}{MARK} {event.time[11:26]}Z{style.reset}  {who}  {outcome}{after}{cut}\n"
        return f"{header}{clean_text(event.command, style)}\n".encode()

    def _add_header(self, parts: list[bytes], event: DataEvent) -> None:
        middle = self._middle(
            event.direction,
            event.pid,
            event.namespace_pid,
            event.tid,
            event.comm,
            event.thread_comm,
            event.fd,
            event.ssl,
            event.connection,
            event.tls_version,
            event.library or event.module,
        )
        length = event.length
        parts += (self._start, event.time[11:26].encode(), middle, _size(length))
        if length != event.call_length or event.missing or event.note or event.truncated or event.early_data:
            parts.append(self._notes(event))
        parts.append(self._end)

    def _format_middle(
        self,
        direction: str,
        pid: int,
        namespace_pid: int | None,
        tid: int,
        comm: str,
        thread_comm: str,
        fd: int | None,
        ssl: int,
        connection: Connection | None,
        tls_version: str | None,
        library: str,
    ) -> bytes:
        """What stands between time and length: the same in every event of one thread, connection and direction."""
        style = self._style
        who = _process(comm, pid, namespace_pid)
        if thread_comm != comm:
            who += f" thread {clean_name(thread_comm)}[{tid}]"
        arrow, colour = ("←", style.read) if direction == "read" else ("→", style.write)
        moved = f"{colour}{arrow} {direction}{style.reset}"
        if connection and connection.local_address is not None:
            ends = _ends(connection, f"{colour}{arrow}{style.reset}")
            where = [ends, f"{colour}{direction}{style.reset}"]
        elif connection:
            where = [moved, _NAMES[connection.family]]
        else:
            where = [moved, f"fd {fd}" if fd is not None else f"ssl {ssl:#x}"]
        where += [clean_name(tls_version or ""), clean_name(PurePosixPath(library).name)]
        return (
            f"Z{style.reset}  {style.bold}{who}{style.reset} {'  '.join(filter(None, where))}  {style.bold}"
        ).encode()

    def _notes(self, event: DataEvent) -> bytes:
        alarms = []
        if event.note:
            alarms.append(_NOTES[event.note])
        if event.truncated:
            alarms.append("TRUNCATED: the end of the call was not captured")
        if event.missing:
            alarms.append(f"MISSING {counted(event.missing, 'event')} before this one")
        notes = [self._style.reset]
        if event.length != event.call_length:
            last = event.offset + event.length - 1
            notes.append(f", {event.offset:,}–{last:,} of the call's {event.call_length:,}")
        if event.early_data:
            notes.append(", early data")
        notes += [f", {self._style.alarm}{alarm}{self._style.reset}" for alarm in alarms]
        return "".join(notes).encode()


def _process(comm: str, pid: int, namespace_pid: int | None) -> str:
    number = str(pid) if namespace_pid is None else f"{pid}, own pid {namespace_pid}"
    return f"{clean_name(comm)}[{number}]"


def _ends(connection: Connection, arrow: str) -> str:
    local = _endpoint(connection.local_address, connection.local_port)
    return f"{local} {arrow} {_endpoint(connection.remote_address, connection.remote_port)}"


def _endpoint(address: str | None, port: int | None) -> str:
    if address is None:
        return "?"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@lru_cache(maxsize=4096)
def _size(length: int) -> bytes:
    return counted(length, "byte").encode()
