"""Commands of shells from their samples, which come in parts and may be anything."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.records import End, Layout, LibraryFacts, Samples, Settings
from plainwire.events import AnyEvent, CommandEvent, LossEvent, StatsEvent
from tests.decode.test_decoder import decode
from tests.support.samples import object_btf, pack

BASH = Layout("bash", object_btf("bash"))
METAFIED = 4


def part(data: bytes = b"false\n", **fields: int | bytes) -> bytes:
    """A shell_event_t of a whole command of bash, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 48,
        "library": 9,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "uid": 1000,
        "ended_ns": 5_250_000_000,
        "return_code": 1,
        "parts": 1,
        "data_len": len(data),
        "comm": b"bash",
        "data": data,
    }
    return pack("bash", "shell_event_t", **(values | fields))


def commands(*samples: bytes, settings: Settings | None = None) -> list[AnyEvent]:
    records = [BASH, LibraryFacts(9, "bash", "/usr/bin/bash", None), Samples(list(samples))]
    return decode(*records, settings=settings) if settings else decode(*records)


def texts(events: list[AnyEvent]) -> list[tuple[str, bool]]:
    return [(event.command, event.truncated) for event in events if isinstance(event, CommandEvent)]


def test_every_field_of_a_command() -> None:
    (event,) = commands(part())
    assert msgspec.to_builtins(event) == {
        "kind": "command",
        "schema": 1,
        "time": "2023-11-14T22:13:24.000000000Z",
        "timestamp_ns": 5_000_000_000,
        "module": "bash",
        "pid": 100,
        "uid": 1000,
        "comm": "bash",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost"],
        "container": None,
        "namespace_pid": None,
        "library": "/usr/bin/bash",
        "command": "false",
        "return_code": 1,
        "duration_ns": 250_000_000,
        "truncated": False,
    }


def test_parts_are_put_together_also_when_two_shells_send_at_once() -> None:
    events = commands(
        part(b"echo a", parts=2),
        part(b"echo 1", parts=2, pid=200),
        part(b"bc\n", parts=2, part=1),
        part(b"23\n", parts=2, part=1, pid=200),
    )
    assert texts(events) == [("echo abc", False), ("echo 123", False)]


def test_missing_parts_are_told() -> None:
    """Of a command whose first part is lost, one in the middle, and the last, which shows when the next one comes."""
    lost_first = [part(b"b\n", parts=2, part=1)]
    lost_middle = [part(b"a", parts=3), part(b"c\n", parts=3, part=2)]
    lost_last = [part(b"a", parts=2), part(b"next\n")]
    assert texts(commands(*lost_first)) == [("b", True)]
    assert texts(commands(*lost_middle)) == [("ac", True)]
    assert texts(commands(*lost_last)) == [("a", True), ("next", False)]


def test_a_command_that_still_runs_comes_at_the_end() -> None:
    records = [
        BASH,
        Samples(
            [
                part(b"sleep ", parts=0, ended_ns=0, return_code=-1),
                part(b"60\n", parts=0, part=1, ended_ns=0, return_code=-1),
            ]
        ),
    ]
    assert decode(*records) == []
    event, stats = decode(*records, End(9))
    assert isinstance(event, CommandEvent) and isinstance(stats, StatsEvent)
    assert (event.command, event.return_code, event.duration_ns, event.truncated) == ("sleep 60", None, None, False)
    assert (stats.commands, stats.events, stats.processes) == (1, 0, 1)


def test_text_as_zsh_keeps_it() -> None:
    """Bytes 0x83 to 0xa2 and NUL stand as 0x83 and the byte xor 32 (Src/zsh.h, Meta): ✓ is e2 9c 93."""
    (event,) = commands(part(b"echo \xe2\x83\xbc\x83\xb3\n", flags=METAFIED))
    assert isinstance(event, CommandEvent)
    assert event.command == "echo ✓"


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n", b" \t \n"])
def test_nothing_entered_is_no_command(data: bytes) -> None:
    assert commands(part(data)) == []


def test_filtered_in_userspace() -> None:
    wanted = Settings(userspace_filter=True, uid=1000)
    assert texts(commands(part(), part(b"other\n", uid=0), settings=wanted)) == [("false", False)]


def test_a_sample_that_contradicts_itself() -> None:
    (event,) = commands(part(data_len=7))
    assert isinstance(event, LossEvent) and event.reason == "malformed"


numbers = st.integers(0, 3) | st.integers(0, (1 << 32) - 1)


@given(
    st.lists(
        st.builds(
            part,
            st.binary(max_size=64),
            pid=st.integers(1, 3),
            part=numbers,
            parts=numbers,
            flags=numbers,
            return_code=st.integers(-(1 << 31), (1 << 31) - 1),
        ),
        max_size=20,
    )
)
def test_nothing_that_a_shell_sends_is_too_odd(samples: list[bytes]) -> None:
    events = decode(BASH, Samples(samples), End(9))
    assert all(isinstance(event, CommandEvent | StatsEvent) for event in events)
