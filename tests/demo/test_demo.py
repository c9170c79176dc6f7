"""`make demo`, without the setup that precedes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo" / "demo.py"
SECRETS = ("Bearer curl-4711", "X-Api-Key: python-1234", "session=node-7781")
# Not all: in a checkout below a home folder root needs CAP_DAC_OVERRIDE to read it.
DROP = "-bpf,-perfmon,-sys_ptrace,-sys_admin"


def run_demo(*prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*prefix, sys.executable, DEMO], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.bpf
def test_live_demo_shows_what_clients_and_server_said() -> None:
    finished = run_demo()
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "RECORDING" not in finished.stdout
    for secret in SECRETS[: 3 if shutil.which("node") else 2]:
        assert finished.stdout.count(secret) == 2  # once sent, once received
    assert "What to try next" in finished.stdout


def test_where_capture_is_forbidden_it_says_why_and_shows_the_recording() -> None:
    finished = run_demo("setpriv", "--bounding-set", DROP, "--inh-caps", DROP)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "CAP_BPF" in finished.stdout.splitlines()[0]
    assert "RECORDING" in finished.stdout
    for secret in SECRETS:
        assert finished.stdout.count(secret) == 2
