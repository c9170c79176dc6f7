"""What a capture yields: the classes that the Python API hands out and that `--json` writes, one object a line.

The JSON schema is these classes, documented in docs/json.md. A field that is not known is None (null), never 0.
`SCHEMA` is raised when a field changes its meaning or goes; new fields and kinds may come without notice.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

SCHEMA = 1


class Versioned(msgspec.Struct, tag_field="kind", kw_only=True, gc=False):
    """Gives every event the schema's number. Keyword-only, hence last, so that it may have a default."""

    schema: int = SCHEMA


class Event(Versioned, gc=False):
    """Base of all events; `kind` is the JSON tag.

    time: RFC 3339 in UTC with nanoseconds. timestamp_ns: CLOCK_MONOTONIC of the captured machine, for exact order.
    The decoder passes the fields by position: by keyword an event costs 1.9 µs instead of 0.2.
    """

    KIND: ClassVar[str] = ""

    time: str
    timestamp_ns: int


ConnectionWay = Literal["set_fd", "bio", "thread", "net_conn", "client_random", "ciphertext"]
ConnectionNote = Literal[
    "no socket used yet",
    "several sockets in one call",
    "layout not known",
    "handshake not seen",
    "socket held by another process",
]


class Connection(msgspec.Struct, frozen=True, gc=False):
    """The connection that bytes travelled on, as this end sees it.

    `id` numbers the connections of a capture, in the order of their first event. `way` is how it was found: "set_fd"
    (SSL_set_fd named the descriptor), "bio" (the descriptor in the SSL structure), "client_random" (the socket on which
    the handshake began), "ciphertext" (the socket that sent its record) or "thread" (the one socket that the
    thread used inside the call). A UNIX socket or a pipe has no addresses. `net_namespace` is the inode number of
    /proc/PID/ns/net: equal addresses in two namespaces are different places. `opened` and `closed`: times as in
    Event.time; opened is None for a connection that is older than the capture, closed is set in its CloseEvent
    alone. `way` is None in events that come from the socket itself.
    """

    id: int
    family: Literal["IPv4", "IPv6", "unix", "pipe"]
    local_address: str | None
    local_port: int | None
    remote_address: str | None
    remote_port: int | None
    net_namespace: int
    way: ConnectionWay | None
    opened: str | None = None
    closed: str | None = None


Direction = Literal["connect", "accept"]
"""Which end opened a connection: this process ("connect"), or the other end to it ("accept")."""


class ConnectEvent(Event, tag="connect", gc=False):
    """A TCP connection was opened, or could not be.

    A connection is told before its first data, with the time at which it was opened; with `connections` "all" every
    one of the captured processes is told when it opens. `thread_comm` and `tid` are of the thread that opened it, or of
    the first to use an accepted one. `error`: why it could not be opened, as errno(3) names it, or "unknown".
    `direction` is None where it is older than the capture.
    """

    KIND: ClassVar[str] = "connect"

    direction: Direction | None
    pid: int
    tid: int
    uid: int
    comm: str
    thread_comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    fd: int | None
    connection: Connection
    error: str | None


class CloseEvent(Event, tag="close", gc=False):
    """A TCP connection of a captured process has ended.

    read_bytes, written_bytes: plaintext that its TLS calls moved, lost events included. tcp_received_bytes,
    tcp_sent_bytes: what TCP moved, without repetitions. duration_ns, direction: None where older than the capture.
    """

    KIND: ClassVar[str] = "close"

    direction: Direction | None
    pid: int
    uid: int
    comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    connection: Connection
    duration_ns: int | None
    read_bytes: int
    written_bytes: int
    tcp_received_bytes: int
    tcp_sent_bytes: int


class DataEvent(Event, tag="data", gc=False):
    """Plaintext bytes of one call, or of a part of one: a call of more than 16 KiB gives several.

    `data` may be shorter than `length`: empty when the bytes could not be read or never were in the process's
    memory (`note` says which). `sequence` numbers the events of one pid, ssl and direction; `missing` tells how
    many before this one were lost. `connection` is None where it is not known, and `connection_note` says why.
    """

    KIND: ClassVar[str] = "data"

    module: str
    direction: Literal["read", "write"]
    pid: int
    tid: int
    uid: int
    comm: str
    thread_comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    library: str | None
    ssl: int
    fd: int | None
    tls_version: str | None
    bio_type: str | None
    connection: Connection | None
    connection_note: ConnectionNote | None
    sequence: int
    missing: int
    call_length: int
    offset: int
    length: int
    truncated: bool
    early_data: bool
    note: Literal["unreadable", "length only"] | None
    data: bytes


class TlsEvent(Event, tag="tls", gc=False):
    """What the two ends of a connection have agreed on; once for each SSL structure, before the data of a call.

    `ssl` and `pid` are those of the data events. `cipher`: the suite, as OpenSSL names it.
    """

    KIND: ClassVar[str] = "tls"

    module: str
    pid: int
    tid: int
    uid: int
    comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    library: str | None
    ssl: int
    tls_version: str | None
    cipher: str | None


class SecretEvent(Event, tag="secret", gc=False):
    """One line of a key log: a secret of a TLS connection, by which its packets can be decrypted.

    `label`, `client_random` and `secret` (both in hexadecimal) are the fields of the line, as the format of key logs
    (SSLKEYLOGFILE) has them. `way`: how it was got.
    """

    KIND: ClassVar[str] = "secret"

    module: str
    pid: int
    tid: int
    uid: int
    comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    library: str | None
    label: str
    client_random: str
    secret: str
    way: Literal["log function", "structure"]


class PacketEvent(Event, tag="packet", gc=False):
    """A packet on one interface, with its VLAN tags.

    pid, uid, comm, container: of the process that sent or receives it. `length` is the bytes on the wire, of which
    `data` may hold fewer. link_type: LINKTYPE_* of the pcap formats; 1: begins with an Ethernet header, 101: with IP's.
    """

    KIND: ClassVar[str] = "packet"

    interface: str
    link_type: int
    direction: Literal["in", "out"]
    pid: int | None
    uid: int | None
    comm: str | None
    container: str | None
    length: int
    data: bytes


class InterfaceEvent(Event, tag="interface", gc=False):
    """An interface on which packets are captured: when that begins, and at the end of the capture with its counts.

    packets: those that were to be captured, lost ones included.
    """

    KIND: ClassVar[str] = "interface"

    interface: str
    link_type: int
    packets: int
    lost: int


class CommandEvent(Event, tag="command", gc=False):
    """A command that a user entered in a shell, all its lines.

    `time` is when its first line was entered, duration_ns how long it took until the shell asked for the next command
    or ended. return_code: what `$?` was then, or the shell's exit status; None where it still ran at the end of the
    capture, or the shell has become another program (`exec`). truncated: some of its text is missing.
    """

    KIND: ClassVar[str] = "command"

    module: str
    pid: int
    uid: int
    comm: str
    exe: str | None
    cmdline: list[str] | None
    container: str | None
    namespace_pid: int | None
    library: str | None
    command: str
    return_code: int | None
    duration_ns: int | None
    truncated: bool


class LossEvent(Event, tag="loss", gc=False):
    """Something did not reach the output.

    `reason` is one of the kernel's counters (buffer full, …) with `count` new losses since the last such event, or
    "gap", found by the numbers of one connection's events, with pid, ssl and direction.
    """

    KIND: ClassVar[str] = "loss"

    reason: str
    count: int
    pid: int | None = None
    ssl: int | None = None
    direction: Literal["read", "write"] | None = None


class StatsEvent(Event, tag="stats", gc=False):
    """The last line of a capture: what was seen and what was lost, by reason."""

    KIND: ClassVar[str] = "stats"

    duration_ns: int
    events: int
    bytes: int
    processes: int
    connections: int
    secrets: int
    secrets_verified: int  # given alike by both ways (--verify-keys)
    packets: int
    packets_unattributed: int  # of these: the process is not known
    commands: int
    losses: dict[str, int]
    complete: bool  # False: the recording was cut short


class ConnectionState(Event, tag="connection", gc=False):
    """An open connection, as `plainwire connections` shows it (docs/connections.md); no event of a capture.

    read_bytes, written_bytes: plaintext of TLS calls since the capture began. age_ns: None where the connection is
    older than the capture. The fields from family to net_namespace are those of Connection.
    """

    KIND: ClassVar[str] = "connection"

    pid: int
    uid: int
    comm: str
    exe: str | None
    container: str | None
    family: Literal["IPv4", "IPv6", "unix", "pipe"] | None
    local_address: str | None
    local_port: int | None
    remote_address: str | None
    remote_port: int | None
    net_namespace: int | None
    connection_note: ConnectionNote | None
    tls_version: str | None
    cipher: str | None
    read_bytes: int
    written_bytes: int
    age_ns: int | None


AnyEvent = (
    DataEvent
    | ConnectEvent
    | CloseEvent
    | TlsEvent
    | SecretEvent
    | PacketEvent
    | InterfaceEvent
    | CommandEvent
    | LossEvent
    | StatsEvent
)
