"""Processes in other pid namespaces are named by the host's pid, and by their own where it differs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.connections import peers, read_said

pytestmark = pytest.mark.bpf
QUIET = ["sh", "-c", 'exec "$0" "$@" > /dev/null']
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no pid namespaces here: {tried.stderr.strip()}")


def test_both_numbers(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    capture = run_plainwire("--json", "--", *QUIET, *NAMESPACE, *peers(certificate, report, "ipv4", 2, 2))
    assert capture.wait(60) == 0
    own_pid = read_said(report).pid
    events = [event for event in capture.events() if event["kind"] in ("data", "connect", "close")]
    assert {event["kind"] for event in events} == {"data", "connect", "close"}
    assert {event["namespace_pid"] for event in events} == {own_pid}
    (pid,) = {event["pid"] for event in events}
    assert pid != own_pid


def test_one_number_where_they_are_the_same(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    capture = run_plainwire("--json", "--", *QUIET, *peers(certificate, report, "ipv4", 2, 2))
    assert capture.wait(60) == 0
    events = [event for event in capture.events() if "namespace_pid" in event]
    assert events
    assert {(event["pid"], event["namespace_pid"]) for event in events} == {(read_said(report).pid, None)}
