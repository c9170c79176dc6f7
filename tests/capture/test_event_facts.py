"""What an event tells besides its bytes: who, when, through which library; also of processes that are gone."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plainwire.inspect.loader_cache import cached_libraries
from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import Told, program, run_program

pytestmark = pytest.mark.bpf


def wall_clock_ns(text: str) -> int:
    """RFC 3339 with nanoseconds, which datetime can't hold."""
    seconds, nanoseconds = text.removesuffix("Z").split(".")
    moment = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    assert len(nanoseconds) == 9
    return int(moment.timestamp()) * 10**9 + int(nanoseconds)


def test_a_process_that_is_gone(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """plainwire is stopped while the process lives and ends: it can ask nobody."""
    capture = run_plainwire("--json")
    before = time.time_ns(), time.monotonic_ns()
    subprocess.run(["kill", "-STOP", str(capture.pid)], check=True)
    done = run_program("echo_once", certificate, tmp_path, "libssl.so.3")
    subprocess.run(["kill", "-CONT", str(capture.pid)], check=True)
    after = time.time_ns(), time.monotonic_ns()
    capture.stop()
    events = [event for event in capture.events("data") if event["pid"] == done.pid]
    assert capture.events("stats")[0]["losses"] == {}
    assert len(events) == 4
    (library,) = cached_libraries(lambda soname: soname == "libssl.so.3")
    for event in events:
        assert (event["module"], event["uid"], event["tid"]) == ("openssl", 0, done.pid)
        assert event["comm"] == event["thread_comm"] == Path(sys.executable).name
        assert Path(event["exe"]) in (Path(sys.executable), Path(sys.executable).resolve())
        assert event["cmdline"] == program("echo_once", certificate, tmp_path / "report.json", "libssl.so.3")
        assert Path(event["library"]).resolve() == Path(library.path).resolve()
        assert before[0] < wall_clock_ns(event["time"]) < after[0]
        assert before[1] < event["timestamp_ns"] < after[1]
    times = [event["timestamp_ns"] for event in events]
    assert times == sorted(times)


@pytest.mark.parametrize("transport", ["ring", "perf"])
def test_a_single_event_appears_at_once(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, transport: str
) -> None:
    """Within 50 ms on an idle machine; the bound here has room for a busy one."""
    with Told(certificate, tmp_path, "libssl.so.3") as process:
        capture = run_plainwire("--json", "--pid", str(process.pid), "--transport", transport)
        delays = []
        for number in range(1, 11):
            time.sleep(0.1)
            process.say("alone")
            deadline = time.monotonic() + 5
            while len(capture.lines) < 2 * number and time.monotonic() < deadline:
                time.sleep(0.001)
            now = time.monotonic_ns()
            delays.append((now - capture.events("data")[-1]["timestamp_ns"]) / 1e6)
    print(f"milliseconds from the call to the line: {sorted(delays)}")
    assert sorted(delays)[len(delays) // 2] < 1000
