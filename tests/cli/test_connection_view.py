"""The table fits every terminal, and nothing in it can steer one."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from plainwire.cli.connection_view import connection_view
from plainwire.events import ConnectionState
from plainwire.outputs.clean import clean_name

SECOND = 1_000_000_000


def state(**fields: object) -> ConnectionState:
    """A connection of curl, unless the fields say otherwise."""
    values: dict[str, object] = {
        "time": "2026-01-01T00:00:00.000000000Z",
        "timestamp_ns": 0,
        "pid": 100,
        "uid": 0,
        "comm": "curl",
        "exe": None,
        "container": None,
        "family": "IPv4",
        "local_address": "10.0.0.1",
        "local_port": 40000,
        "remote_address": "10.0.0.2",
        "remote_port": 443,
        "net_namespace": 1,
        "connection_note": None,
        "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "read_bytes": 1_234_567,
        "written_bytes": 12,
        "age_ns": 3725 * SECOND,
    }
    return ConnectionState(**(values | fields))  # type: ignore[arg-type]


def shown(*states: ConnectionState, width: int | None = None, height: int | None = None, lost: int = 0) -> list[str]:
    """Lines as they reach a terminal, without its colours."""
    console = Console(file=io.StringIO(), width=width or 1000)
    console.print(connection_view(states, lost, listened_ns=5 * SECOND, width=width, height=height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")[:-1]


def test_all_of_a_connection() -> None:
    summary, titles, row = shown(state())
    assert summary.strip() == "1 connection of 1 process"
    assert titles.split() == ["PROCESS", "LOCAL", "REMOTE", "TLS", "CIPHER", "READ", "WRITTEN", "AGE"]
    assert re.split("  +", row) == [
        "curl[100]", "10.0.0.1:40000", "10.0.0.2:443", "1.3", "TLS_AES_256_GCM_SHA384", "1.2 MB", "12 B", "1:02:05",
    ]  # fmt: skip


def test_what_is_not_known() -> None:
    *_, row = shown(
        state(
            family=None,
            local_address=None,
            local_port=None,
            remote_address=None,
            remote_port=None,
            tls_version=None,
            cipher=None,
            age_ns=None,
        )
    )
    assert row.split() == ["curl[100]", "?", "?", "1.2", "MB", "12", "B", ">0:05"]


def test_ipv6_addresses_stand_in_brackets() -> None:
    assert "[2001:db8::1]:443" in shown(state(remote_address="2001:db8::1"))[-1]


def test_none_and_lost_events() -> None:
    assert [line.strip() for line in shown()] == ["0 connections of 0 processes"]
    assert "3 events lost" in shown(state(), lost=3)[0]


def test_a_low_terminal_says_how_many_more_there_are() -> None:
    lines = shown(*(state(local_port=port) for port in range(20)), height=10, width=120)
    assert len(lines) < 10
    assert lines[-1].strip() == "and 14 more"


@pytest.mark.parametrize(("width", "columns"), [(94, 8), (93, 7), (70, 7), (69, 6), (60, 5), (44, 4)])
def test_a_narrow_terminal_goes_without_columns(width: int, columns: int) -> None:
    assert len(shown(state(), width=width)[1].split()) == columns


@given(
    st.lists(
        st.builds(
            state,
            comm=st.text(max_size=15),
            local_address=st.ip_addresses().map(str),
            remote_address=st.ip_addresses().map(str),
            read_bytes=st.integers(0, 2**64),
        ),
        max_size=5,
    ),
    st.integers(52, 200),
)
def test_every_line_fits_and_steers_nothing(states: list[ConnectionState], width: int) -> None:
    for line in shown(*states, width=width):
        assert cell_len(line) <= width
        assert clean_name(line) == line
    assert len(shown(*states, width=width)) == len(states) + (2 if states else 1)
