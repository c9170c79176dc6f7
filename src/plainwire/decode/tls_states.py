"""Samples of what the ends of a connection have agreed on in, their events out."""

from __future__ import annotations

from typing import NamedTuple

from plainwire.decode.btf import Btf
from plainwire.decode.cipher_names import ciphers
from plainwire.decode.context import Context
from plainwire.decode.layout import U16, U32, U64, Chars, EventLayout, SampleError, compile_layout
from plainwire.decode.names import tls_versions
from plainwire.events import AnyEvent, TlsEvent

TLS_STATE = "EVENT_TLS_STATE"  # of enum event_kind
KINDS = frozenset({TLS_STATE})


class TlsStateFields(NamedTuple):
    """tls_state_event_t"""

    kind: U32
    library: U32
    timestamp_ns: U64
    pid: U32
    tid: U32
    uid: U32
    version: U16
    cipher_id: U16
    ssl: U64
    comm: Chars


class TlsStateDecoder:
    """The TLS versions and ciphers of one session."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._layout: EventLayout[TlsStateFields] | None = None
        self._versions, self._ciphers = tls_versions(), ciphers()

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("tls_state_event_t"):
            self._layout = compile_layout(TlsStateFields, "tls_state_event_t", btf)

    def read(self, _kind: str, sample: bytes) -> list[AnyEvent]:
        """The event of a sample, if its process is wanted. Raises SampleError."""
        if self._layout is None:
            raise SampleError("tls_state_event_t is not declared")
        fields = self._layout.read(sample)
        context = self._context
        comm = context.texts[fields.comm]
        if not context.wanted(fields.pid, fields.uid, comm):
            return []
        program = context.processes.at(fields.pid, fields.timestamp_ns)
        module, path = context.libraries.get(fields.library, context.default_library)
        return [
            TlsEvent(
                context.clock.text(fields.timestamp_ns),
                fields.timestamp_ns,
                module,
                fields.pid,
                fields.tid,
                fields.uid,
                comm,
                program.exe,
                program.cmdline,
                program.container,
                program.namespace_pid,
                path,
                fields.ssl,
                self._versions[fields.version],
                self._ciphers[fields.cipher_id],
            )
        ]
