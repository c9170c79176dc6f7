"""How a capture ends: by signal, by its limits, with its reader, with COMMAND, whose exit status it passes on."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.plainwire import COMMAND, plainwire
from tests.support.processes import wait_until
from tests.support.tls_program import Told

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_signal(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, by: signal.Signals) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as process:
        capture = run_plainwire("--json", "--pid", str(process.pid))
        process.say("hello")
        begun = time.monotonic()
        assert capture.stop(by) == 0
        assert time.monotonic() - begun < 2
    (summary,) = capture.messages[1:]
    assert summary.startswith("captured 2 events, 12 bytes of 1 process")
    assert summary.endswith(", nothing lost\n")
    assert [event["kind"] for event in capture.events() if event["kind"] != "tls"] == ["data", "data", "stats"]


def test_signal_ends_an_idle_capture(run_plainwire: RunPlainwire) -> None:
    capture = run_plainwire("--json", "--comm", "nobody-is")
    begun = time.monotonic()
    assert capture.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 2
    assert any(line.startswith("captured 0 events") for line in capture.messages)


def test_signal_reaches_the_command(run_plainwire: RunPlainwire) -> None:
    capture = run_plainwire("--json", "--", "sleep", "60")
    begun = time.monotonic()
    assert capture.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert time.monotonic() - begun < 2


def test_duration(run_plainwire: RunPlainwire) -> None:
    begun = time.monotonic()
    capture = run_plainwire("--json", "--duration", "0.5", "--comm", "nobody-is")
    assert capture.wait() == 0
    assert 0.5 <= time.monotonic() - begun < 5
    assert 0.4e9 < capture.events("stats")[0]["duration_ns"] < 2e9


def test_max_events(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as process:
        capture = run_plainwire("--json", "--pid", str(process.pid), "--max-events", "5")
        for number in range(10):
            process.say(f"line {number}")
        assert capture.wait() == 0
    assert len(capture.events("data")) == capture.events("stats")[0]["events"] == 5


def test_a_closed_pipe_ends_it_without_a_word(certificate: Certificate, tmp_path: Path) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as process:
        errors = tmp_path / "errors"
        line = f"{COMMAND} capture --json --pid {process.pid} 2>{errors} | head -n 1; echo ${{PIPESTATUS[*]}}"
        with subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, text=True) as shell:
            wait_until(lambda: errors.exists() and "capturing" in errors.read_text(), "the capture")
            while shell.poll() is None:
                process.say("again")
                time.sleep(0.02)
            assert shell.stdout
            first, statuses = shell.stdout.read().splitlines()
    assert '"kind":"tls"' in first or '"kind":"data"' in first
    assert statuses == "0 0"
    assert len(errors.read_text().splitlines()) == 1


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_exit_status_of_the_command(run_plainwire: RunPlainwire, script: str, status: int) -> None:
    capture = run_plainwire("--json", "--", "sh", "-c", script)
    assert capture.wait() == status


@pytest.mark.parametrize(
    ("command", "why"),
    [("/nowhere/to/be/found", "No such file or directory"), ("/etc/passwd", "Permission denied")],
)
def test_a_command_that_is_none(command: str, why: str) -> None:
    finished = plainwire("capture", "--json", "--", command)
    assert finished.returncode in (2, 126, 127)
    assert finished.stderr.splitlines()[-1] == f"plainwire: can't run {command}: {why}"
    assert "Traceback" not in finished.stderr


def test_the_command_keeps_its_standard_streams(certificate: Certificate) -> None:
    finished = subprocess.run(
        [COMMAND, "capture", "--out", "/dev/null", "--", "sh", "-c", "cat; echo error >&2"],
        input="through\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert finished.stdout == "through\n"
    assert "error" in finished.stderr.splitlines()
