"""Events as a capture of curl would give them, for tests of what stands above the decoder."""

from __future__ import annotations

from typing import Any

from plainwire.events import CloseEvent, ConnectEvent, Connection, DataEvent, LossEvent, SecretEvent, StatsEvent

TIME = "2026-02-03T16:03:05.123456789Z"


def data_event(data: bytes = b"", **changes: Any) -> DataEvent:
    """An event whose call moved `data` whole, unless `changes` says otherwise."""
    fields: dict[str, Any] = {
        "time": TIME,
        "timestamp_ns": 1_000_000_001,
        "module": "openssl",
        "direction": "write",
        "pid": 1234,
        "tid": 1234,
        "uid": 1000,
        "comm": "curl",
        "thread_comm": "curl",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost/"],
        "container": None,
        "namespace_pid": None,
        "library": "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "ssl": 0x55D0C0FFEE00,
        "fd": 5,
        "tls_version": "TLSv1.3",
        "bio_type": "SOCKET",
        "connection": None,
        "connection_note": None,
        "sequence": 0,
        "missing": 0,
        "call_length": len(data),
        "offset": 0,
        "length": len(data),
        "truncated": False,
        "early_data": False,
        "note": None,
        "data": data,
    }
    return DataEvent(**(fields | changes))


def connection(**changes: Any) -> Connection:
    """The connection of curl, opened while it was captured."""
    fields: dict[str, Any] = {
        "id": 1,
        "family": "IPv4",
        "local_address": "10.0.0.1",
        "local_port": 40000,
        "remote_address": "10.0.0.2",
        "remote_port": 443,
        "net_namespace": 4026531840,
        "way": "set_fd",
        "opened": TIME,
        "closed": None,
    }
    return Connection(**(fields | changes))


_CURL: dict[str, Any] = {
    "time": TIME,
    "timestamp_ns": 1_000_000_001,
    "direction": "connect",
    "pid": 1234,
    "uid": 1000,
    "comm": "curl",
    "exe": "/usr/bin/curl",
    "cmdline": ["curl", "https://localhost/"],
    "container": None,
    "namespace_pid": None,
}


def connect_event(**changes: Any) -> ConnectEvent:
    """curl opened its connection."""
    opened = {"tid": 1234, "thread_comm": "curl", "fd": 5, "connection": connection(way=None), "error": None}
    return ConnectEvent(**(_CURL | opened | changes))


def close_event(**changes: Any) -> CloseEvent:
    """curl's connection has ended."""
    closed: dict[str, Any] = {
        "connection": connection(way=None, closed=TIME),
        "duration_ns": 1_234_567_890,
        "read_bytes": 5177,
        "written_bytes": 78,
        "tcp_received_bytes": 7411,
        "tcp_sent_bytes": 902,
    }
    return CloseEvent(**(_CURL | closed | changes))


def loss_event(reason: str = "buffer_full", count: int = 1, **changes: Any) -> LossEvent:
    fields: dict[str, Any] = {"time": TIME, "timestamp_ns": 1_000_000_002, "reason": reason, "count": count}
    return LossEvent(**(fields | changes))


def stats_event(**changes: Any) -> StatsEvent:
    fields: dict[str, Any] = {
        "time": TIME,
        "timestamp_ns": 1_000_000_003,
        "duration_ns": 4_200_000_000,
        "events": 1234,
        "bytes": 99_999,
        "processes": 1,
        "connections": 3,
        "secrets": 0,
        "secrets_verified": 0,
        "packets": 0,
        "packets_unattributed": 0,
        "commands": 0,
        "losses": {},
        "complete": True,
    }
    return StatsEvent(**(fields | changes))


def secret_event(label: str = "EXPORTER_SECRET", **changes: Any) -> SecretEvent:
    """A secret of a TLS 1.3 connection."""
    fields: dict[str, Any] = {
        "time": TIME,
        "timestamp_ns": 1_000_000_003,
        "module": "openssl",
        "pid": 1234,
        "tid": 1234,
        "uid": 1000,
        "comm": "curl",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost/"],
        "container": None,
        "namespace_pid": None,
        "library": "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "label": label,
        "client_random": bytes(range(32)).hex(),
        "secret": bytes(range(48)).hex(),
        "way": "log function",
    }
    return SecretEvent(**(fields | changes))
