"""Samples of opened and closed connections in, connect and close events out."""

from __future__ import annotations

import errno

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.context import Context
from plainwire.decode.layout import EventLayout, SampleError, compile_layout
from plainwire.events import AnyEvent, CloseEvent, ConnectEvent, Direction

KINDS = frozenset({abi.CONNECT})
_DIRECTIONS: dict[int, Direction] = {1: "connect", 2: "accept"}  # enum connect_direction


class ConnectionDecoder:
    """The connections of one session."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._layout: EventLayout[abi.ConnectEvent] | None = None

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        structure = btf.struct("connect_event_t")
        # Before 2026-11-24 objects declared another structure of this name, and sent none.
        if structure and any(member.name == "opened_ns" for member in structure.members):
            self._layout = compile_layout(abi.ConnectEvent, "connect_event_t", btf)

    def read(self, _kind: str, sample: bytes) -> list[AnyEvent]:
        """The event of a sample, if its process is wanted. Raises SampleError."""
        if self._layout is None:
            raise SampleError("connect_event_t is not declared")
        fields = self._layout.read(sample)
        if not self._context.wanted(fields.pid, fields.uid, self._context.texts[fields.comm]):
            return []
        return [self._closed(fields) if fields.is_destroy else self._opened(fields)]

    def _opened(self, fields: abi.ConnectEvent) -> ConnectEvent:
        context = self._context
        happened_ns = fields.opened_ns or fields.timestamp_ns
        time = context.clock.text(happened_ns)
        program = context.processes.at(fields.pid, fields.timestamp_ns)
        return ConnectEvent(
            time,
            happened_ns,
            _DIRECTIONS.get(fields.direction),
            fields.pid,
            fields.tid,
            fields.uid,
            context.texts[fields.comm],
            context.texts[fields.thread_comm],
            program.exe,
            program.cmdline,
            program.container,
            program.namespace_pid,
            fields.fd if fields.fd >= 0 else None,
            context.ends.connection(fields, opened=time if fields.opened_ns else None),
            (errno.errorcode.get(fields.error, str(fields.error)) if fields.error else "unknown")
            if fields.failed
            else None,
        )

    def _closed(self, fields: abi.ConnectEvent) -> CloseEvent:
        context = self._context
        time = context.clock.text(fields.timestamp_ns)
        opened = context.clock.text(fields.opened_ns) if fields.opened_ns else None
        program = context.processes.at(fields.pid, fields.timestamp_ns)
        return CloseEvent(
            time,
            fields.timestamp_ns,
            _DIRECTIONS.get(fields.direction),
            fields.pid,
            fields.uid,
            context.texts[fields.comm],
            program.exe,
            program.cmdline,
            program.container,
            program.namespace_pid,
            context.ends.connection(fields, opened=opened, closed=time),
            fields.timestamp_ns - fields.opened_ns if fields.opened_ns else None,
            fields.tls_read,
            fields.tls_written,
            fields.tcp_received,
            fields.tcp_sent,
        )
