"""Samples of commands entered in shells in, command events out: the parts of a long command are put together."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.context import Context
from plainwire.decode.layout import S32, U32, U64, Chars, EventLayout, Payload, compile_layout
from plainwire.events import AnyEvent, CommandEvent

KINDS = frozenset({abi.SHELL_COMMAND})

# enum shell_flag of bpf/abi/shells.h, and UNKNOWN_RETURN_CODE
_TRUNCATED, _UNREADABLE, _METAFIED = 1, 2, 4
_UNKNOWN = -1
_META = re.compile(rb"\x83(.)", re.DOTALL)
# Of so many shells at once are parts kept, and so many of each (MAX_COMMAND_PARTS).
_MAX_SHELLS = 1024
_MAX_PARTS = 512


class ShellEvent(NamedTuple):
    """shell_event_t"""

    kind: U32
    library: U32
    timestamp_ns: U64
    pid: U32
    uid: U32
    ended_ns: U64
    return_code: S32
    part: U32
    parts: U32
    flags: U32
    data_len: U32
    comm: Chars
    data: Annotated[bytes, Payload("data_len")]


class CommandDecoder:
    """The commands of one session."""

    def __init__(self, context: Context) -> None:
        self.count = 0
        self._context = context
        self._layout: EventLayout[ShellEvent] | None = None
        self._begun: dict[int, list[ShellEvent]] = {}  # pid -> the parts of its command, of which more will come

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("shell_event_t"):
            self._layout = compile_layout(ShellEvent, "shell_event_t", btf)

    def read(self, _kind: str, sample: bytes) -> list[AnyEvent]:
        """The command that a sample completes, and one that it shows to have lost its end. Raises SampleError."""
        if self._layout is None:
            return []
        part = self._layout.read(sample)
        if not self._context.wanted(part.pid, part.uid, self._context.texts[part.comm]):
            return []
        events: list[AnyEvent] = []
        if part.pid in self._begun and (part.part == 0 or len(self._begun[part.pid]) >= _MAX_PARTS):
            events += self._complete(part.pid)
        if len(self._begun) >= _MAX_SHELLS and part.pid not in self._begun:
            events += self._complete(next(iter(self._begun)))
        self._begun.setdefault(part.pid, []).append(part)
        return [*events, *self._complete(part.pid)] if part.part + 1 == part.parts else events

    def finish(self) -> list[AnyEvent]:
        """At the end: the commands that still run."""
        return [event for pid in list(self._begun) for event in self._complete(pid)]

    def _complete(self, pid: int) -> list[AnyEvent]:
        parts = self._begun.pop(pid)
        first, last = parts[0], parts[-1]
        raw = b"".join(part.data for part in parts).rstrip(b"\n")
        if not raw.strip():
            return []
        if last.flags & _METAFIED:
            raw = _META.sub(lambda match: bytes((match[1][0] ^ 32,)), raw)
        complete = [part.part for part in parts] == list(range(len(parts))) and last.parts in (0, len(parts))
        context = self._context
        self.count += 1
        context.count_process(pid)
        program = context.processes.at(pid, first.timestamp_ns)
        module, path = context.libraries.get(first.library, context.default_library)
        return [
            CommandEvent(
                context.clock.text(first.timestamp_ns),
                first.timestamp_ns,
                module,
                pid,
                first.uid,
                context.texts[first.comm],
                program.exe,
                program.cmdline,
                program.container,
                program.namespace_pid,
                path,
                raw.decode("utf-8", "surrogateescape"),
                None if last.return_code == _UNKNOWN else last.return_code,
                last.ended_ns - first.timestamp_ns if last.ended_ns else None,
                not complete or bool(last.flags & (_TRUNCATED | _UNREADABLE)),
            )
        ]
