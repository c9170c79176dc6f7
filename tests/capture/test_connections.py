"""The connection that an event names is the one that the program itself had: both addresses, both ports."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.connections import (
    Said,
    check_all,
    check_openings_and_ends,
    ends_of,
    net_namespace,
    peers,
    read_said,
    run_peers,
    wait_for_ends,
)
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize(("family", "name"), [("ipv4", "IPv4"), ("ipv6", "IPv6"), ("mapped", "IPv4"), ("unix", "unix")])
def test_family(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, family: str, name: str) -> None:
    capture = run_plainwire("--json")
    said = run_peers(certificate, tmp_path, family, 8)
    if family != "unix":
        wait_for_ends(capture, 16, said.pid)
    capture.stop()
    events = check_all(capture.events(), said)
    assert {event["connection"]["family"] for event in events} == {name}
    assert {event["connection"]["net_namespace"] for event in events} == {net_namespace()}
    numbers = {event["connection"]["id"] for event in events}
    assert len(numbers) == 2 * 8  # each end has its own
    if family == "unix":
        own = [event["kind"] for event in capture.events() if event.get("pid") == said.pid]
        assert not {"connect", "close"} & set(own)  # they are of TCP
    else:
        opened = check_openings_and_ends(capture.events(), said.pid)
        assert opened.keys() == numbers
        assert sorted(event["direction"] for event in opened.values()) == ["accept"] * 8 + ["connect"] * 8


def test_a_thousand_in_a_churn(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """Descriptors and SSL structures are used again and again: none is taken for the one before it."""
    capture = run_plainwire("--json")
    said = run_peers(certificate, tmp_path, "ipv4", 1000, threads=8)
    wait_for_ends(capture, 2000, said.pid)
    capture.stop()
    events = check_all(capture.events(), said)
    ends = {(event["connection"]["id"], ends_of(event)) for event in events}
    assert len({number for number, _ in ends}) == len(ends), "a number stands for one connection"
    assert check_openings_and_ends(capture.events(), said.pid).keys() == {number for number, _ in ends}


def test_opened_before_the_capture(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """SSL_set_fd was called long ago: the socket that the thread uses inside the call tells."""
    report = tmp_path / "report.json"
    command = ["env", "PEERS_WAIT=1", *peers(certificate, report, "ipv4", 1, 1)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(2)  # so that the server waits in its next read
        capture = run_plainwire("--json")
        process.communicate("go\n", timeout=30 * PATIENCE)
    capture.stop()
    said = read_said(report)
    later = {text: ends for text, ends in said.texts.items() if text.endswith(".1")}
    # The server waited in a read already, whose entry nobody saw.
    events = check_all(capture.events(), Said(said.pid, later), unseen={("client 0.1", "read")})
    assert {event["connection"]["way"] for event in events} <= {"thread", "bio"}
    assert {event["connection"]["opened"] for event in events} == {None}
    ended = [event for event in capture.events("close") if event["pid"] == said.pid]
    assert {ends_of(event) for event in ended} == {ends_of(event) for event in events}
    assert {(event["direction"], event["duration_ns"]) for event in ended} == {(None, None)}
