"""`connect` and `close` say of each TCP connection what the program itself had: addresses, bytes, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPlainwire
from tests.support.connections import address, ends_of
from tests.support.plainwire import plainwire
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf

PROGRAM = PROGRAMS / "tcp_connections.py"


def capture_all(run_plainwire: RunPlainwire, scenario: str, report: Path) -> tuple[list[dict[str, Any]], Any]:
    """The connection events of the program's processes, and what it reported."""
    command = [sys.executable, PROGRAM, scenario, report]
    capture = run_plainwire("--json", "--connections", "all", "--", *command)
    assert capture.wait(60) == 0, capture.messages
    told = json.loads(report.read_text())
    return [event for event in capture.events() if event["kind"] in ("connect", "close")], told


def ends_in(told: dict[str, Any]) -> tuple[Any, Any]:
    return address(told["local"]), address(told["remote"])


def check(events: list[dict[str, Any]], told: dict[str, Any]) -> None:
    """Each end is opened once and closed once, with its own addresses, bytes and number."""
    opened = [event for event in events if event["kind"] == "connect"]
    closed = [event for event in events if event["kind"] == "close"]
    assert Counter((event["direction"], *ends_of(event)) for event in opened) == Counter(
        (end["direction"], *ends_in(end)) for end in told["ends"]
    )
    assert Counter(
        (event["direction"], *ends_of(event), event["tcp_sent_bytes"], event["tcp_received_bytes"]) for event in closed
    ) == Counter((end["direction"], *ends_in(end), end["sent"], end["received"]) for end in told["ends"])
    assert {event["pid"] for event in opened} == {told["pid"]}
    assert {event["error"] for event in opened} == {None}
    numbers = {event["connection"]["id"]: ends_of(event) for event in opened}
    assert len(numbers) == len(opened), "a number stands for one connection"
    assert numbers == {event["connection"]["id"]: ends_of(event) for event in closed}
    closings = {ends_of(event): event["timestamp_ns"] for event in closed}
    for end in told["ends"]:
        assert closings[ends_in(end)] > end["closed_after"], "closed before its last descriptor was"
    for event in closed:
        assert event["duration_ns"] > 0
        assert event["connection"]["opened"] < event["connection"]["closed"] == event["time"]
        assert event["read_bytes"] == event["written_bytes"] == 0


@pytest.mark.parametrize("scenario", ["ipv4", "ipv6", "mapped", "nonblocking", "dup", "fork", "threads", "churn"])
def test_opened_and_closed(run_plainwire: RunPlainwire, tmp_path: Path, scenario: str) -> None:
    events, told = capture_all(run_plainwire, scenario, tmp_path / "report.json")
    check(events, told)


def test_the_descriptor(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    events, told = capture_all(run_plainwire, "ipv4", tmp_path / "report.json")
    descriptors = {end["direction"]: end["fd"] for end in told["ends"]}
    assert {event["direction"]: event["fd"] for event in events if event["kind"] == "connect"} == descriptors


def test_refused(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    events, told = capture_all(run_plainwire, "refused", tmp_path / "report.json")
    assert [event["kind"] for event in events] == ["connect", "connect"]
    for event, end in zip(events, told["ends"], strict=True):
        assert (event["direction"], event["error"], ends_of(event)) == ("connect", end["error"], ends_in(end))
        assert event["error"] == "ECONNREFUSED"
        assert event["connection"]["opened"] is None


def test_older_than_the_capture(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, PROGRAM, "older", report]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        capture = run_plainwire("--json", "--connections", "all", "--pid", str(process.pid))
        process.communicate("go\n", timeout=30)
    capture.stop()
    told = json.loads(report.read_text())
    for kind in ("connect", "close"):
        events = capture.events(kind)
        assert Counter(map(ends_of, events)) == Counter(map(ends_in, told["ends"]))
        assert all(event["direction"] is None and event["connection"]["opened"] is None for event in events)
    assert all(event["duration_ns"] is None for event in capture.events("close"))


def test_those_without_data_are_not_told_unless_asked_for(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    capture = run_plainwire("--json", "--", sys.executable, PROGRAM, "ipv4", tmp_path / "report.json")
    assert capture.wait(60) == 0
    assert [event["kind"] for event in capture.events()] == ["stats"]


def test_a_recording_gives_the_same(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    program = [sys.executable, PROGRAM, "ipv6", tmp_path / "report.json"]
    capture = run_plainwire("--json", "--connections", "all", "--record", recording, "--", *program)
    assert capture.wait(60) == 0
    assert {event["kind"] for event in capture.events()} == {"connect", "close", "stats"}
    assert plainwire("read", recording, "--json").stdout.splitlines(keepends=True) == capture.lines


def test_others_are_not_told(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    """The filters for processes hold for connections too."""
    capture = run_plainwire("--json", "--connections", "all", "--comm", "nothing")
    subprocess.run([sys.executable, PROGRAM, "ipv4", tmp_path / "report.json"], check=True, timeout=60)
    capture.stop()
    assert [event["kind"] for event in capture.events()] == ["stats"]
