from __future__ import annotations

import gzip
import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.events import AnyEvent
from plainwire.outputs.hexdump import hexdump
from plainwire.outputs.payload import show_payload
from plainwire.outputs.style import COLOUR, PLAIN, Style
from plainwire.outputs.text import TextFormat
from tests.support.events import (
    close_event,
    connect_event,
    connection,
    data_event,
    loss_event,
    secret_event,
    stats_event,
)

DATE = "━━ 2026-02-03, times are UTC\n"
START = "━━ 16:03:05.123456Z  "
OWN_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# C0 but \t and \n, DEL, C1, and the bidirectional controls.
FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def text_of(events: Sequence[AnyEvent], style: Style = PLAIN) -> str:
    return TextFormat(lambda event: show_payload(event.data, style), style).encode(events).decode()


def payload(data: bytes) -> str:
    return show_payload(data).decode()


def test_a_header_then_the_payload() -> None:
    events = [data_event(b"GET / HTTP/1.1\r\n\r\n"), data_event(b"x", direction="read")]
    assert text_of(events) == (
        f"{DATE}{START}curl[1234] → write  fd 5  TLSv1.3  libssl.so.3  18 bytes\nGET / HTTP/1.1\n\n"
        f"{START}curl[1234] ← read  fd 5  TLSv1.3  libssl.so.3  1 byte\nx\n"
    )


def test_the_ends_of_the_connection_stand_behind_the_process() -> None:
    there = connection()
    unix = connection(family="unix", local_address=None, local_port=None, remote_address=None, remote_port=None)
    events = [
        data_event(b"x", connection=there),
        data_event(b"x", connection=there, direction="read"),
        data_event(b"x", connection=unix),
    ]
    assert text_of(events) == (
        f"{DATE}{START}curl[1234] 10.0.0.1:40000 → 10.0.0.2:443  write  TLSv1.3  libssl.so.3  1 byte\nx\n"
        f"{START}curl[1234] 10.0.0.1:40000 ← 10.0.0.2:443  read  TLSv1.3  libssl.so.3  1 byte\nx\n"
        f"{START}curl[1234] → write  unix socket  TLSv1.3  libssl.so.3  1 byte\nx\n"
    )


def test_a_process_of_another_pid_namespace_has_both_its_numbers() -> None:
    events = [data_event(b"x", namespace_pid=7), connect_event(namespace_pid=7)]
    assert text_of(events) == (
        f"{DATE}{START}curl[1234, own pid 7] → write  fd 5  TLSv1.3  libssl.so.3  1 byte\nx\n"
        f"{START}curl[1234, own pid 7] 10.0.0.1:40000 → 10.0.0.2:443  opened\n"
    )


def test_a_connection_opens_and_closes() -> None:
    events = [
        connect_event(),
        connect_event(direction="accept", connection=connection(family="IPv6", remote_address="2001:db8::1")),
        connect_event(direction=None, connection=connection(opened=None)),
        connect_event(error="ECONNREFUSED", connection=connection(opened=None)),
        close_event(),
        close_event(duration_ns=None, direction=None),
    ]
    assert text_of(events) == (
        f"{DATE}{START}curl[1234] 10.0.0.1:40000 → 10.0.0.2:443  opened\n"
        f"{START}curl[1234] 10.0.0.1:40000 ← [2001:db8::1]:443  accepted\n"
        f"{START}curl[1234] 10.0.0.1:40000 ⇄ 10.0.0.2:443  open since before the capture\n"
        f"{START}curl[1234] 10.0.0.1:40000 → 10.0.0.2:443  not opened: ECONNREFUSED\n"
        f"{START}curl[1234] 10.0.0.1:40000 → 10.0.0.2:443  closed after 1.235 s: 5,177 bytes read, 78 bytes written"
        " (TCP 7,411 and 902)\n"
        f"{START}curl[1234] 10.0.0.1:40000 ⇄ 10.0.0.2:443  closed: 5,177 bytes read, 78 bytes written"
        " (TCP 7,411 and 902)\n"
    )


def test_the_date_is_told_again_when_it_changes() -> None:
    text = TextFormat(lambda event: event.data, PLAIN)
    first = text.encode([data_event()]).decode()
    same = text.encode([data_event()]).decode()
    next_day = text.encode([data_event(time="2026-02-04T00:00:00.000000001Z")]).decode()
    assert first.startswith(DATE)
    assert "2026" not in same
    assert next_day.startswith("━━ 2026-02-04, times are UTC\n━━ 00:00:00.000000Z  ")


def test_what_is_not_known_is_left_out() -> None:
    event = data_event(b"x", fd=None, tls_version=None, library=None, thread_comm="worker", tid=1240)
    assert text_of([event]) == (
        f"{DATE}{START}curl[1234] thread worker[1240] → write  ssl 0x55d0c0ffee00  openssl  1 byte\nx\n"
    )


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"call_length": 5000, "offset": 1000}, ", 1,000–1,001 of the call's 5,000"),
        ({"missing": 1}, ", MISSING 1 event before this one"),
        ({"missing": 1200}, ", MISSING 1,200 events before this one"),
        ({"truncated": True}, ", TRUNCATED: the end of the call was not captured"),
        ({"early_data": True}, ", early data"),
    ],
)
def test_notes_stand_in_the_header(changes: dict[str, object], note: str) -> None:
    event = data_event(b"ab", **changes)
    assert text_of([event]).splitlines()[1:] == [
        f"{START}curl[1234] → write  fd 5  TLSv1.3  libssl.so.3  2 bytes{note}",
        "ab",
    ]


@pytest.mark.parametrize("note", ["unreadable", "length only"])
def test_an_event_without_bytes_says_why(note: str) -> None:
    (header,) = text_of([data_event(b"", length=300, call_length=300, note=note)]).splitlines()[1:]
    assert re.search(r"300 bytes, the bytes were not in memory|300 bytes, sent from a file", header)


def test_losses_are_conspicuous_and_gaps_are_told_once() -> None:
    events = [loss_event("buffer_full", 1200), loss_event("gap", 2), stats_event()]
    assert text_of(events).splitlines()[1:] == [
        f"{START}LOST 1,200 events: the buffer was full; "
        "a larger --buffer-size or narrower filters (--pid, --comm) lose less"
    ]


def test_colour_adds_nothing_but_its_codes() -> None:
    events = [data_event(b"a\x1bb", missing=2), data_event(bytes(100)), loss_event()]
    coloured = text_of(events, COLOUR)
    assert "\x1b[" in coloured
    assert OWN_COLOURS.sub("", coloured) == text_of(events)


def test_utf8_is_shown_as_it_is() -> None:
    assert payload("größe 你好 🙂\r\n".encode()) == "größe 你好 🙂\n"


def test_control_bytes_are_escaped() -> None:
    assert payload(b"\x1b[31mred\x07 and much more plain text \x9b\rend") == (
        "\\x1b[31mred\\x07 and much more plain text \\x9b\\rend\n"
    )


def test_binary_is_told_short() -> None:
    assert payload(bytes(range(8))) == "<binary, 8 bytes: 00 01 02 03 04 05 06 07>\n"
    assert payload(bytes(4096)) == f"<binary, 4,096 bytes: {'00 ' * 32}… > (--hex shows all)\n"


def test_random_bytes_are_binary_at_any_length() -> None:
    random_bytes = random.Random(1).randbytes
    for length in (64, 1000, 16384):
        assert payload(random_bytes(length)).startswith("<binary")


def test_a_text_head_before_a_binary_body_is_shown() -> None:
    body = gzip.compress(b"hello" * 20, mtime=0)
    shown = payload(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + body)
    assert shown.startswith(f"HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n<binary, gzip, {len(body)} bytes: 1f 8b 08 ")


def test_http2_frames_are_named() -> None:
    settings = bytes.fromhex("000000 04 00 00000000")
    data_frame = bytes.fromhex("000003 00 01 00000001") + b"\x00\xff\x80"
    assert payload(settings + data_frame).startswith("<binary, HTTP/2 SETTINGS, DATA, 21 bytes: ")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert payload(preface + settings).startswith("<binary, HTTP/2 preface, SETTINGS, 33 bytes: 50 52 49 ")
    assert payload(settings * 8).startswith(f"<binary, HTTP/2 {', '.join(['SETTINGS'] * 6)}, …, 72 bytes: ")
    assert "HTTP/2" not in payload(bytes(90))  # DATA can't stand on stream 0
    assert "HTTP/2" not in payload(b"\x00\x00\x00\x77\x00\x00\x00\x00\x00")


ANY_NAME = st.text(st.characters(), max_size=20)
# Bytes at random are mostly told as binary: text with some control characters between reaches the other branches.
ANY_PAYLOAD = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [b"plain text ", b"\r\n", b"\r\n\r\n", b"\x1b[2J", b"\xc2\x9b", b"\xff", "\u202e━".encode(), b"\n"]
        ),
        max_size=30,
    ).map(b"".join),
    st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@given(data=ANY_PAYLOAD, comm=ANY_NAME, thread_comm=ANY_NAME, library=ANY_NAME, reason=ANY_NAME, coloured=st.booleans())
def test_nothing_from_the_process_steers_the_terminal(
    *, data: bytes, comm: str, thread_comm: str, library: str, reason: str, coloured: bool
) -> None:
    style = COLOUR if coloured else PLAIN
    event = data_event(data, comm=comm, thread_comm=thread_comm, library=library)
    shown = text_of([event, loss_event(reason)], style)
    if coloured:
        for code in (style.dim, style.bold, style.read, style.write, style.alarm, style.escape, style.reset):
            shown = shown.replace(code, "")
    assert FORBIDDEN.search(shown) is None
    headers = [line for line in shown.split("\n") if line.startswith("━")]
    assert len(headers) == 3 - (reason == "gap")  # date, event, loss: none is forged


@given(data=st.binary(max_size=100), offset=st.integers(0, 16 * 1024 * 1024))
def test_hex_dumps_hold_every_byte_and_nothing_else(data: bytes, offset: int) -> None:
    rows = hexdump(data, offset).decode("ascii").splitlines()
    assert b"".join(bytes.fromhex(row[10:58]) for row in rows) == data
    assert [int(row[:8], 16) for row in rows] == list(range(offset, offset + len(data), 16))
    assert "".join(row[60:] for row in rows).isprintable()


def test_secrets_are_not_for_the_screen() -> None:
    assert TextFormat(lambda _: b"", PLAIN).encode([secret_event()]) == b""
