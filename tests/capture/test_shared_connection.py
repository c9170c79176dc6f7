"""Threads that use one connection at once pass each other on their way to the buffer: that is no loss."""

from __future__ import annotations

import base64
import struct
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.plainwire import capture_of
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf

THREADS, WRITES = 4, 10_000


def test_nothing_is_taken_for_lost(run_plainwire: RunPlainwire, tmp_path: Path) -> None:
    program = tmp_path / "shared_connection"
    source = PROGRAMS / "shared_connection.c"
    subprocess.run(["cc", "-O1", "-rdynamic", "-pthread", "-o", program, source], check=True)
    command = (program, str(THREADS), str(WRITES))
    capture = capture_of(run_plainwire, "--json", "--lib", program, "--buffer-size", "64M", "--", *command)
    (stats,) = capture.events("stats")
    assert (stats["losses"], stats["connections"]) == ({}, 1)
    events = capture.events("data")
    assert [event["sequence"] for event in events] == list(range(THREADS * WRITES))
    calls = [struct.unpack("<II", base64.b64decode(event["data"])) for event in events]
    assert sorted(calls) == [(thread, call) for thread in range(THREADS) for call in range(WRITES)]
