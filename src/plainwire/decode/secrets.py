"""Samples with secrets, read and checked: what a traced process lays out is not to be believed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.key_schedule import HASHES, SHA256, SHA384, Hash
from plainwire.decode.layout import EventLayout, SampleError, compile_layout

Way = Literal["log function", "structure"]

KINDS = frozenset({abi.KEYLOG_LINE, abi.MASTER_SECRET, abi.GO_SECRET})
_LABEL = re.compile(rb"[A-Z][A-Z0-9_]*")
_RANDOM_SIZE = 32
# OpenSSL's "RSA" lines name their connection by the start of the encrypted premaster secret.
_RSA_LABEL, _RSA_RANDOM_SIZE = b"RSA", 8
_TLS1_3 = 0x0304
# The cipher suites of TLS 1.3 (RFC 8446, appendix B.4).
_SUITE_HASHES = {0x1301: SHA256, 0x1302: SHA384, 0x1303: SHA256, 0x1304: SHA256, 0x1305: SHA256}


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


class ContradictionError(ValueError):
    """The secrets of a connection do not follow from one another: the layout by which they were read is wrong."""


class SecretReader:
    """Reads samples once the layout of the object that wrote them is known."""

    def __init__(self) -> None:
        self._readers: dict[str, Callable[[bytes], list[Secret]]] = {}

    def add_layout(self, btf: Btf) -> None:
        """Raises AbiMismatchError."""
        if btf.struct("keylog_event_t"):
            keylog = compile_layout(abi.KeylogEvent, "keylog_event_t", btf)
            self._readers[abi.KEYLOG_LINE] = partial(_read_keylog_line, keylog)
        if btf.struct("mastersecret_t"):
            master = compile_layout(abi.MasterSecretEvent, "mastersecret_t", btf)
            self._readers[abi.MASTER_SECRET] = partial(_read_structure, master)
        if btf.struct("mastersecret_gotls_t"):
            go = compile_layout(abi.GoSecretEvent, "mastersecret_gotls_t", btf)
            self._readers[abi.GO_SECRET] = partial(_read_go_secret, go)

    def read(self, kind: str, sample: bytes) -> list[Secret]:
        """The secrets in a sample of one of KINDS.

        Raises SampleError for what can be no line of a key log, ContradictionError for what must be wrong.
        """
        if kind not in self._readers:
            raise SampleError("no object with this kind of secret is known")
        return self._readers[kind](sample)


def _read_keylog_line(layout: EventLayout[abi.KeylogEvent], sample: bytes) -> list[Secret]:
    event = layout.read(sample)
    label = event.label.partition(b"\0")[0]
    random_size = _RSA_RANDOM_SIZE if label == _RSA_LABEL else _RANDOM_SIZE
    if event.random_len != random_size:
        raise SampleError(f"a client random of {event.random_len} bytes")
    return [_line(event, label, event.client_random[:random_size], event.secret, event.secret_len)]


def _read_go_secret(layout: EventLayout[abi.GoSecretEvent], sample: bytes) -> list[Secret]:
    event = layout.read(sample)
    if event.client_random_len != _RANDOM_SIZE:
        raise SampleError(f"a client random of {event.client_random_len} bytes")
    label, random = event.label[: event.labellen], event.client_random[:_RANDOM_SIZE]
    return [_line(event, label, random, event.secret_, event.secret_len)]


def _line(
    event: abi.KeylogEvent | abi.GoSecretEvent, label: bytes, random: bytes, room: bytes, secret_len: int
) -> Secret:
    """What a log function was called with; `room` begins with the secret."""
    if not _LABEL.fullmatch(label) or not 0 < secret_len <= len(room):
        raise SampleError(f"no line of a key log: {label!r} and {secret_len} bytes")
    return _secret(event, label.decode(), random, room[:secret_len], "log function")


def _read_structure(layout: EventLayout[abi.MasterSecretEvent], sample: bytes) -> list[Secret]:
    event = layout.read(sample)
    return [
        _secret(event, label, event.client_random, secret, "structure") for label, secret in _secrets(event).items()
    ]


def _secret(
    event: abi.KeylogEvent | abi.GoSecretEvent | abi.MasterSecretEvent,
    label: str,
    random: bytes,
    secret: bytes,
    way: Way,
) -> Secret:
    return Secret(
        event.timestamp_ns, event.pid, event.tid, event.uid, event.library, event.comm, label, random, secret, way
    )


def _secrets(event: abi.MasterSecretEvent) -> dict[str, bytes]:
    """Label -> secret."""
    if event.version != _TLS1_3:
        if not any(event.master_key):
            raise SampleError("a master secret of zeros")
        return {"CLIENT_RANDOM": event.master_key}
    suite = _SUITE_HASHES.get(event.cipher_id)
    for hashed in HASHES if suite is None else (suite,):
        secrets = _tls13_secrets(event, hashed)
        if _proved(secrets, event, hashed):
            return secrets
    raise ContradictionError(
        "the exporter secret or the server's Finished key does not follow from the handshake secret"
    )


def _proved(secrets: dict[str, bytes], event: abi.MasterSecretEvent, hashed: Hash) -> bool:
    """Whether what was derived leads to the values of the structure that it was not derived from.

    The exporter secret proves the handshake secret and the hash up to the server's Finished, hence the application's
    secrets. The server's Finished key proves the hash up to ServerHello, hence the handshake's traffic secrets.
    """
    if not event.server_finished_key:  # of a recording that is older than the field
        return secrets["EXPORTER_SECRET"] == event.exporter_master_secret[: hashed.length]
    finished_key = hashed.finished_key(secrets["SERVER_HANDSHAKE_TRAFFIC_SECRET"])
    return (
        secrets["EXPORTER_SECRET"] == event.exporter_master_secret[: hashed.length]
        and finished_key == event.server_finished_key[: hashed.length]
    )


def _tls13_secrets(event: abi.MasterSecretEvent, hashed: Hash) -> dict[str, bytes]:
    """RFC 8446, section 7.1.

    The application's secrets are derived anew instead of taken from the structure, which holds later ones after a key
    update.
    """
    size = hashed.length
    handshake, master = event.handshake_secret[:size], hashed.next_secret(event.handshake_secret[:size])
    to_server_hello = event.handshake_traffic_hash[:size]
    to_server_finished = event.server_finished_hash[:size]
    return {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET": hashed.expand_label(handshake, b"c hs traffic", to_server_hello),
        "SERVER_HANDSHAKE_TRAFFIC_SECRET": hashed.expand_label(handshake, b"s hs traffic", to_server_hello),
        "CLIENT_TRAFFIC_SECRET_0": hashed.expand_label(master, b"c ap traffic", to_server_finished),
        "SERVER_TRAFFIC_SECRET_0": hashed.expand_label(master, b"s ap traffic", to_server_finished),
        "EXPORTER_SECRET": hashed.expand_label(master, b"exp master", to_server_finished),
    }
