from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.events import SCHEMA, AnyEvent
from plainwire.outputs.json import JsonFormat
from tests.support.events import TIME, data_event, loss_event, stats_event

ANY_EVENT: Any = AnyEvent
# C0 but \n, DEL, C1, and the bidirectional controls.
UNSAFE_TO_PRINT = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def read_back(lines: bytes) -> list[AnyEvent]:
    return [msgspec.json.decode(line, type=ANY_EVENT) for line in lines.splitlines()]


def test_a_line_is_exactly_this() -> None:
    assert JsonFormat().encode([loss_event("gap", 2, pid=7, ssl=8, direction="read")]) == (
        b'{"kind":"loss","time":"2026-02-03T16:03:05.123456789Z","timestamp_ns":1000000002,"reason":"gap","count":2,'
        b'"pid":7,"ssl":8,"direction":"read","schema":1}\n'
    )


def test_the_standard_library_reads_it() -> None:
    (line,) = JsonFormat().encode([data_event(b"\x00hello")]).splitlines()
    fields = json.loads(line)
    assert fields["kind"] == "data"
    assert fields["schema"] == SCHEMA
    assert fields["time"] == TIME
    assert fields["data"] == "AGhlbGxv"
    assert fields["connection"] is None


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1023, 1024, 1025, 16384])
def test_payloads_of_any_length_come_back(length: int) -> None:
    event = data_event(bytes(i % 256 for i in range(length)))
    assert read_back(JsonFormat().encode([event, event])) == [event, event]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    data=st.binary(max_size=2000),
    comm=NAMES,
    exe=st.none() | NAMES,
    cmdline=st.none() | st.lists(NAMES, max_size=3),
    ssl=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
)
def test_everything_comes_back_and_is_safe_to_print(data: bytes, **fields: Any) -> None:
    event = data_event(data, **fields)
    lines = JsonFormat().encode([event, stats_event(losses={"gap": 3})])
    assert read_back(lines) == [event, stats_event(losses={"gap": 3})]
    assert lines.count(b"\n") == 2
    assert UNSAFE_TO_PRINT.search(lines.decode()) is None


def test_names_that_are_no_utf8_do_not_stop_the_output() -> None:
    event = data_event(b"x", exe="/tmp/\udcff\udcfe", cmdline=["a", "\udc80"], comm="ok")
    (read,) = read_back(JsonFormat().encode([event]))
    assert read == data_event(b"x", exe="/tmp/\ufffd\ufffd", cmdline=["a", "\ufffd"], comm="ok")
