"""The structures of bpf/abi.h that userspace reads. What each field means is said there."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from plainwire.decode.btf import Btf
from plainwire.decode.layout import S32, U8, U16, U32, U64, U128, Added, Array, Chars, Payload, Structure
from plainwire.events import ConnectionNote, ConnectionWay

# enum event_kind
SSL_DATA = "EVENT_SSL_DATA"
GO_TLS_DATA = "EVENT_GO_TLS_DATA"
PROCESS_EXEC = "EVENT_PROCESS_EXEC"
PROCESS_FORK = "EVENT_PROCESS_FORK"
PROCESS_EXIT = "EVENT_PROCESS_EXIT"
LIBRARIES_CHANGED = "EVENT_LIBRARIES_CHANGED"
CONNECT = "EVENT_CONNECT"
MASTER_SECRET = "EVENT_MASTER_SECRET"
KEYLOG_LINE = "EVENT_KEYLOG_LINE"
GO_SECRET = "EVENT_GO_SECRET"
PACKET = "EVENT_PACKET"
SOCKET_OWNER = "EVENT_SOCKET_OWNER"
SHELL_COMMAND = "EVENT_SHELL_COMMAND"

# enum ssl_data_flag
SSL_DATA_TRUNCATED = 1
SSL_DATA_LENGTH_ONLY = 2
SSL_DATA_UNREADABLE = 4
SSL_DATA_EARLY = 8

# enum connection_way
CONNECTION_WAYS: dict[int, ConnectionWay] = {
    1: "set_fd",
    2: "bio",
    3: "thread",
    5: "net_conn",
    6: "client_random",
    10: "ciphertext",
}
WHY_NO_CONNECTION: dict[int, ConnectionNote] = {
    0: "no socket used yet",
    4: "several sockets in one call",
    7: "layout not known",
    8: "handshake not seen",
    9: "socket held by another process",
}


class SslDataEvent(NamedTuple):
    """ssl_data_event_t"""

    kind: U32
    type: U32
    timestamp_ns: U64
    pid: U32
    tid: U32
    uid: U32
    library: U32
    ssl: U64
    sequence: U64
    call_length: U64
    offset: U32
    flags: U32
    fd: S32
    version: U32
    bio_type: U32
    data_len: U32
    connection: Annotated[bytes, Structure("connection_t")]
    comm: Chars
    thread_comm: Chars
    data: Annotated[bytes, Payload("data_len")]


class ConnectionFields(NamedTuple):
    """connection_t"""

    sock: U64
    saddr: Annotated[bytes, Array(16)]
    daddr: Annotated[bytes, Array(16)]
    sport: U16
    dport: U16
    family: U16
    way: U16
    net_namespace: U32
    inode: Annotated[U32, Added(0)]


class ConnectEvent(NamedTuple):
    """connect_event_t"""

    kind: U32
    direction: U32
    timestamp_ns: U64
    pid: U32
    tid: U32
    uid: U32
    fd: S32
    opened_ns: U64
    saddr: U128
    daddr: U128
    sock: U64
    sport: U16
    dport: U16
    family: U16
    is_destroy: U8
    failed: U8
    error: U32
    net_namespace: U32
    inode: U32
    tls_read: U64
    tls_written: U64
    tcp_received: U64
    tcp_sent: U64
    comm: Chars
    thread_comm: Chars


class ProcessEvent(NamedTuple):
    """process_event_t"""

    kind: U32
    pid: U32
    timestamp_ns: U64
    parent_pid: U32
    namespace_pid: U32
    stopped: U32
    comm: Chars


class ExecEvent(NamedTuple):
    """exec_event_t"""

    kind: U32
    pid: U32
    timestamp_ns: U64
    cgroup_id: U64
    namespace_pid: U32
    uid: U32
    stopped: U32
    filename_len: U32
    text_len: U32
    comm: Chars
    text: Annotated[bytes, Payload("text_len")]


class KeylogEvent(NamedTuple):
    """keylog_event_t"""

    kind: U32
    library: U32
    timestamp_ns: U64
    pid: U32
    tid: U32
    uid: U32
    random_len: U32
    secret_len: U32
    comm: Chars
    label: Chars
    client_random: Chars
    secret: Chars


class MasterSecretEvent(NamedTuple):
    """mastersecret_t"""

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
    client_random: Chars
    master_key: Chars
    early_secret: Chars
    handshake_secret: Chars
    handshake_traffic_hash: Chars
    server_finished_hash: Chars
    server_finished_key: Annotated[Chars, Added(b"")]
    client_app_traffic_secret: Chars
    server_app_traffic_secret: Chars
    exporter_master_secret: Chars


class GoSecretEvent(NamedTuple):
    """mastersecret_gotls_t"""

    kind: U32
    library: U32
    timestamp_ns: U64
    pid: U32
    tid: U32
    uid: U32
    labellen: U32
    client_random_len: U32
    secret_len: U32
    comm: Chars
    label: Chars
    client_random: Chars
    secret_: Chars


class SkbDataEvent(NamedTuple):
    """skb_data_event_t; the packet follows"""

    kind: U32
    ifindex: U32
    ts: U64
    pid: U32
    uid: U32
    len: U32
    captured_len: U32
    vlan_protocol: U16
    vlan_tci: U16
    flags: U32
    comm: Chars


class SocketOwnerEvent(NamedTuple):
    """socket_owner_event_t"""

    kind: U32
    protocol: U32
    timestamp_ns: U64
    local_address: Chars
    remote_address: Chars
    local_port: U16
    remote_port: U16
    pid: U32
    uid: U32
    wanted: U32
    comm: Chars


def event_kinds(btf: Btf) -> dict[str, int]:
    """enum event_kind: what the first field of a sample says."""
    return btf.enum("event_kind") or {}


def loss_reasons(btf: Btf) -> list[str]:
    """Names of the counters in the map `loss_counters`, by index: enum loss_kind without LOSS_, in lower case."""
    values = btf.enum("loss_kind") or {}
    ordered = sorted(values.items(), key=lambda item: item[1])
    return [name.removeprefix("LOSS_").lower() for name, _ in ordered if name != "LOSS_KINDS"]
