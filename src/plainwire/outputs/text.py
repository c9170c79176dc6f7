"""Text for people: a header line per event, then its payload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from plainwire.events import AnyEvent, DataEvent, LossEvent
from plainwire.outputs.clean import MARK, clean_name
from plainwire.outputs.losses import loss_sentence
from plainwire.outputs.style import Style

_HEADERS_KEPT = 4096
_TRUNCATED = "the end of the call was not captured"
_NOTES = {
    "unreadable": "the bytes were not in memory when the kernel looked: not captured",
    "length only": "sent from a file by the kernel: the bytes never were in the process's memory",
}


class TextFormat:
    """Header lines and payloads. Stats are left to the summary on stderr.

    A header begins with MARK, and no line of a payload does. `payload` renders an event's bytes.
    """

    def __init__(self, payload: Callable[[DataEvent], bytes], style: Style) -> None:
        self._payload = payload
        self._style = style
        self._date = "none yet"
        self._middles: dict[tuple[object, ...], str] = {}

    def encode(self, events: Sequence[AnyEvent]) -> bytes:
        """The text of `events`, in whole lines."""
        parts = []
        for event in events:
            if not event.time.startswith(self._date):
                self._date = event.time[:10]
                parts.append(f"{self._style.dim}{MARK} {self._date}, times are UTC{self._style.reset}\n".encode())
            if isinstance(event, DataEvent):
                parts.append(self._header(event))
                if event.data:
                    parts.append(self._payload(event))
            elif isinstance(event, LossEvent) and event.reason != "gap":  # a gap stands in the header after it
                parts.append(self._loss(event))
        return b"".join(parts)

    def _loss(self, event: LossEvent) -> bytes:
        sentence = loss_sentence(event.reason, event.count)
        return f"{self._style.alarm}{MARK} {event.time[11:26]}Z  LOST {sentence}{self._style.reset}\n".encode()

    def _header(self, event: DataEvent) -> bytes:
        key = (
            event.pid,
            event.tid,
            event.ssl,
            event.direction,
            event.fd,
            event.tls_version,
            event.library,
            event.comm,
            event.thread_comm,
        )
        middle = self._middles.get(key)
        if middle is None:
            if len(self._middles) >= _HEADERS_KEPT:
                self._middles.clear()
            middle = self._middles[key] = self._middle(event)
        notes = self._notes(event) if _is_noteworthy(event) else ""
        size = event.length
        return (
            f"{self._style.dim}{MARK} {event.time[11:26]}Z{middle}{size:,} byte{'' if size == 1 else 's'}"
            f"{self._style.reset}{notes}\n"
        ).encode()

    def _middle(self, event: DataEvent) -> str:
        """What stands between time and length: the same in every event of one thread, connection and direction."""
        style = self._style
        who = f"{clean_name(event.comm)}[{event.pid}]"
        if event.thread_comm != event.comm:
            who += f" thread {clean_name(event.thread_comm)}[{event.tid}]"
        arrow, colour = ("←", style.read) if event.direction == "read" else ("→", style.write)
        where = [
            f"fd {event.fd}" if event.fd is not None else f"ssl {event.ssl:#x}",
            clean_name(event.tls_version) if event.tls_version else "",
            clean_name(PurePosixPath(event.library).name if event.library else event.module),
        ]
        return (
            f"{style.reset}  {style.bold}{who}{style.reset} {colour}{arrow} {event.direction}{style.reset}"
            f"  {'  '.join(filter(None, where))}  {style.bold}"
        )

    def _notes(self, event: DataEvent) -> str:
        notes = []
        if event.length != event.call_length:
            last = event.offset + event.length - 1
            notes.append(f", {event.offset:,}–{last:,} of the call's {event.call_length:,}")
        if event.early_data:
            notes.append(", early data")
        if event.note:
            notes.append(f", {self._style.alarm}{_NOTES[event.note]}{self._style.reset}")
        if event.truncated:
            notes.append(f", {self._style.alarm}TRUNCATED: {_TRUNCATED}{self._style.reset}")
        if event.missing:
            events = "event" if event.missing == 1 else "events"
            notes.append(f", {self._style.alarm}MISSING {event.missing:,} {events} before this one{self._style.reset}")
        return "".join(notes)


def _is_noteworthy(event: DataEvent) -> bool:
    return bool(event.missing or event.note or event.truncated or event.early_data or event.length != event.call_length)
