"""Plaintext as TCP: what tshark dissects and scapy reassembles is what the program read and wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from plainwire.events import DataEvent
from plainwire.outputs.pcapng import LINKTYPE_RAW
from plainwire.outputs.pcapng_files import PcapngFiles
from plainwire.outputs.plain_packets import Endpoint, PlainPacket, PlainPackets

CLIENT, SERVER = ("192.0.2.1", 40000), ("198.51.100.2", 443)
REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def event(
    direction: Literal["read", "write"],
    data: bytes,
    sequence: int = 0,
    *,
    missing: int = 0,
    offset: int = 0,
    call_length: int | None = None,
    pid: int = 10,
    ssl: int = 0x7F00_0000_1000,
) -> DataEvent:
    return DataEvent(
        time="",
        timestamp_ns=5_000_000_000 + sequence,
        module="openssl",
        direction=direction,
        pid=pid,
        tid=pid,
        uid=0,
        comm="curl",
        thread_comm="curl",
        exe=None,
        cmdline=None,
        container=None,
        namespace_pid=None,
        library=None,
        ssl=ssl,
        fd=None,
        tls_version=None,
        bio_type=None,
        connection=None,
        connection_note=None,
        sequence=sequence,
        missing=missing,
        call_length=len(data) if call_length is None else call_length,
        offset=offset,
        length=len(data),
        truncated=False,
        early_data=False,
        note=None,
        data=data,
    )


def dissect(path: Path, packets: Iterable[PlainPacket], *arguments: str) -> list[str]:
    files = PcapngFiles(path, "plainwire")
    files.interface("plaintext", LINKTYPE_RAW)
    for number, packet in enumerate(packets):
        files.packets([(0, number, packet.data, len(packet.data), b"")])
    files.close()
    checksums = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command = ["tshark", "-n", "-r", str(path), *checksums, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (CLIENT, SERVER),
        (("2001:db8::1", 50000), ("2001:db8::2", 8443)),
        (("::ffff:192.0.2.1", 50000), ("::ffff:192.0.2.2", 4433)),
        (("127.0.0.1", 1), ("127.0.0.1", 60000)),  # the client on the lower port
    ],
)
@pytest.mark.parametrize("captured", ["client", "server"])
def test_tshark_dissects_http_without_complaint(
    tmp_path: Path, client: Endpoint, server: Endpoint, captured: str
) -> None:
    plain = PlainPackets()
    if captured == "client":
        ends, first, second = (client, server), "write", "read"
    else:
        ends, first, second = (server, client), "read", "write"
    packets = plain.data(event(first, REQUEST), *ends)
    packets += plain.data(event(second, RESPONSE), *ends)
    packets += plain.close(10, 0x7F00_0000_1000)
    fields = ["http.request.full_uri", "http.response.code", "http.content_length", "ip.src", "ipv6.src", "tcp.srcport"]
    columns = [argument for field in fields for argument in ("-e", field)]
    rows = dissect(tmp_path / "plain.pcapng", packets, "-Y", "http", "-T", "fields", *columns)
    client_address, server_address = (end[0].removeprefix("::ffff:") for end in (client, server))
    empty = [""] if ":" in client_address else []
    after = [] if empty else [""]
    assert [row.split("\t") for row in rows] == [
        ["http://localhost/hello", "", "", *empty, client_address, *after, str(client[1])],
        ["", "200", "5", *empty, server_address, *after, str(server[1])],
    ]
    complaint = "tcp.analysis.flags or tcp.checksum.status == 0 or ip.checksum.status == 0"
    assert dissect(tmp_path / "plain.pcapng", packets, "-Y", complaint) == []


@pytest.mark.parametrize("first", ["client", "server"])
@pytest.mark.parametrize("captured", ["client", "server"])
def test_what_http2_says_is_dissected_too(tmp_path: Path, first: str, captured: str) -> None:
    empty_settings = bytes.fromhex("000000040000000000")
    headers = bytes.fromhex("000003 01 05 00000001 82 84 86")  # GET, /, http: indexes of the static table
    ends = (CLIENT, SERVER) if captured == "client" else (SERVER, CLIENT)
    by_client = event(
        "write" if captured == "client" else "read", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings + headers
    )
    by_server = event("read" if captured == "client" else "write", empty_settings)
    plain = PlainPackets()
    packets = []
    for said in (by_client, by_server) if first == "client" else (by_server, by_client):
        packets += plain.data(said, *ends)
    assert {packet.note for packet in packets[3:]} == {"HTTP/2, shown on port 80: the server's is 443"}
    fields = ["-T", "fields", "-e", "http2.headers.method", "-e", "http2.headers.path"]
    rows = dissect(tmp_path / "plain.pcapng", packets, "-Y", "http2.headers.method", *fields)
    assert rows == ["GET\t/"]


def parse(packets: list[PlainPacket]) -> list[TCP]:
    return [(IPv6 if packet.data[0] >> 4 == 6 else IP)(packet.data)[TCP] for packet in packets]


def stream(segments: list[TCP], port: int) -> bytes:
    """The bytes that one side sent, each at the place of its sequence number; holes are zero bytes."""
    sent = [segment for segment in segments if segment.sport == port]
    first = next(segment.seq + 1 for segment in sent if "S" in segment.flags)
    content = bytearray()
    for segment in sent:
        payload = bytes(segment.payload)
        start = (segment.seq - first) & 0xFFFFFFFF
        content.extend(bytes(max(0, start + len(payload) - len(content))) if payload else b"")
        content[start : start + len(payload)] = payload
    return bytes(content)


def test_lost_bytes_leave_a_hole_of_their_size_and_a_note() -> None:
    plain = PlainPackets()
    packets = plain.data(event("write", b"abc", 0, call_length=10), CLIENT, SERVER)
    packets += plain.data(event("write", b"hij", 2, missing=1, offset=0), CLIENT, SERVER)
    packets += plain.data(event("write", b"k", 4, missing=1), CLIENT, SERVER)
    assert stream(parse(packets), 40000) == b"abc" + bytes(7) + b"hij" + bytes(1) + b"k"
    assert [packet.note for packet in packets[3:]] == [
        None,
        "7 bytes missing before this packet",
        "1 events missing before this packet",
    ]


def test_bytes_that_could_not_be_read_keep_their_place() -> None:
    plain = PlainPackets()
    unreadable = event("write", b"")
    unreadable.length = unreadable.call_length = 5
    packets = plain.data(unreadable, CLIENT, SERVER) + plain.data(event("write", b"x", 1), CLIENT, SERVER)
    assert stream(parse(packets), 40000) == bytes(5) + b"x"


def test_both_ends_on_one_host_give_each_byte_once() -> None:
    plain = PlainPackets()
    packets = plain.data(event("write", REQUEST, pid=10), CLIENT, SERVER)
    assert plain.data(event("read", REQUEST, pid=20), SERVER, CLIENT) == []
    assert plain.data(event("write", RESPONSE, pid=20), SERVER, CLIENT) == []
    packets += plain.data(event("read", RESPONSE, pid=10), CLIENT, SERVER)
    assert stream(parse(packets), 40000) == REQUEST
    assert stream(parse(packets), 443) == RESPONSE
    # When the client has closed, the ports may serve a connection of which only the server is captured.
    plain.close(10, 0x7F00_0000_1000)
    assert len(plain.data(event("read", REQUEST, 5, pid=20, ssl=2), SERVER, CLIENT)) == 4


def test_a_reused_ssl_structure_begins_a_new_connection() -> None:
    plain = PlainPackets()
    plain.data(event("write", b"a", 0), CLIENT, SERVER)
    plain.data(event("write", b"b", 1), CLIENT, SERVER)
    again = event("write", b"c", 0)
    again.timestamp_ns += 10**9
    assert [str(segment.flags) for segment in parse(plain.data(again, CLIENT, SERVER))] == ["S", "SA", "A", "PA"]


def test_unknown_ends_are_told_apart_and_marked() -> None:
    plain = PlainPackets()
    one = plain.data(event("write", b"a", ssl=1), None, None)
    two = plain.data(event("write", b"b", ssl=2), None, None)
    assert {packet.note for packet in one[3:] + two[3:]} == {"addresses not known"}
    sources = {IPv6(packets[3].data).src for packets in (one, two)}
    assert sources == {"2001:db8:0:a::1", "2001:db8:0:a::2"}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=20), st.binary(max_size=9))
def test_checksums_and_streams_hold_for_any_bytes(calls: list[tuple[bool, bytes]], last: bytes) -> None:
    plain = PlainPackets()
    packets: list[PlainPacket] = []
    sequence = {"write": 0, "read": 0}
    for outgoing, data in [*calls, (True, last), (False, last)]:
        direction: Literal["read", "write"] = "write" if outgoing else "read"
        packets += plain.data(event(direction, data, sequence[direction]), CLIENT, SERVER)
        sequence[direction] += 1
    segments = parse(packets)
    assert stream(segments, 40000) == b"".join(data for outgoing, data in calls if outgoing) + last
    assert stream(segments, 443) == b"".join(data for outgoing, data in calls if not outgoing) + last
    for packet in packets:
        rebuilt = IP(packet.data)
        del rebuilt.chksum, rebuilt[TCP].chksum
        assert bytes(rebuilt) == packet.data
