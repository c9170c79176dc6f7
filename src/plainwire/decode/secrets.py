"""Samples with secrets, read and checked: what a traced process lays out is not to be believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.layout import EventLayout, SampleError

Way = Literal["log function"]

KINDS = frozenset({abi.KEYLOG_LINE, abi.GO_SECRET})
_LABEL = re.compile(rb"[A-Z][A-Z0-9_]*")
_RANDOM_SIZE = 32
# OpenSSL's "RSA" lines name their connection by the start of the encrypted premaster secret.
_RSA_LABEL, _RSA_RANDOM_SIZE = b"RSA", 8


class Secret(NamedTuple):
    """One line of a key log, and where it comes from."""

    timestamp_ns: int
    pid: int
    tid: int
    uid: int
    library: int
    comm: bytes
    label: str
    client_random: bytes
    secret: bytes
    way: Way


class SecretReader:
    """Reads samples once the layout of the object that wrote them is known."""

    def __init__(self) -> None:
        self._readers: dict[str, Callable[[bytes], Secret]] = {}

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("keylog_event_t"):
            self._readers[abi.KEYLOG_LINE] = partial(_read_keylog_line, abi.keylog_layout(btf))
        if btf.struct("mastersecret_gotls_t"):
            self._readers[abi.GO_SECRET] = partial(_read_go_secret, abi.go_secret_layout(btf))

    def read(self, kind: str, sample: bytes) -> Secret:
        """The secret in a sample of one of KINDS. Raises SampleError for what can be no line of a key log."""
        if kind not in self._readers:
            raise SampleError("no object with this kind of secret is known")
        return self._readers[kind](sample)


def _read_keylog_line(layout: EventLayout[abi.KeylogEvent], sample: bytes) -> Secret:
    event = layout.read(sample)
    label = event.label.partition(b"\0")[0]
    random_size = _RSA_RANDOM_SIZE if label == _RSA_LABEL else _RANDOM_SIZE
    if not _LABEL.fullmatch(label) or event.random_len != random_size or not 0 < event.secret_len <= len(event.secret):
        raise SampleError(f"no line of a key log: {label!r}, {event.random_len} and {event.secret_len} bytes")
    return Secret(
        event.timestamp_ns,
        event.pid,
        event.tid,
        event.uid,
        event.library,
        event.comm,
        label.decode(),
        event.client_random[:random_size],
        event.secret[: event.secret_len],
        "log function",
    )


def _read_go_secret(layout: EventLayout[abi.GoSecretEvent], sample: bytes) -> Secret:
    event = layout.read(sample)
    label = event.label[: event.labellen]
    sound = event.client_random_len == _RANDOM_SIZE and 0 < event.secret_len <= len(event.secret_)
    if not _LABEL.fullmatch(label) or not sound:
        raise SampleError(f"no line of a key log: {label!r}, {event.client_random_len} and {event.secret_len} bytes")
    return Secret(
        event.timestamp_ns,
        event.pid,
        event.tid,
        event.uid,
        event.library,
        event.comm,
        label.decode(),
        event.client_random[:_RANDOM_SIZE],
        event.secret_[: event.secret_len],
        "log function",
    )
