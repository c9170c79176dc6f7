"""Python's ssl module, which calls SSL_read_ex and SSL_write_ex alone: blocking, with threads, and under asyncio."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.servers import Server
from tests.support.streams import bytes_of, streams
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf


def contents(connections: int, size: int) -> list[bytes]:
    """What the connections of python_client.py and asyncio_echo.py say."""
    return sorted(random.Random(number).randbytes(size) for number in range(connections))


def client(port: int, version: str, connections: int, size: int) -> int:
    command = [sys.executable, PROGRAMS / "python_client.py", *map(str, (port, version, connections, size))]
    with subprocess.Popen(command) as process:
        assert process.wait(120) == 0
        return process.pid


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_blocking(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str) -> None:
    with servers.python_echo_server(tmp_path, certificate, version=version) as server:
        capture = run_plainwire("--json")
        pid = client(server.port, version, 1, 100_000)
        capture.stop()
    for end in (pid, server.pid):
        for direction in ("read", "write"):
            assert bytes_of(capture.events(), end, direction) == contents(1, 100_000)


def test_64_threads(run_plainwire: RunPlainwire, python_echo_server: Server) -> None:
    """64 on each side speak at once; no byte strays to another connection, and each thread has its own number."""
    capture = run_plainwire("--json")
    pid = client(python_echo_server.port, "any", 64, 40_000)
    capture.stop()
    for end in (pid, python_echo_server.pid):
        for direction in ("read", "write"):
            assert sorted(bytes_of(capture.events(), end, direction)) == contents(64, 40_000)
    found = [stream for stream in streams(capture.events(), pid=pid) if stream.direction == "write"]
    assert all(len({event["tid"] for event in stream.events}) == 1 for stream in found)
    assert len({stream.events[0]["tid"] for stream in found}) == 64


def test_asyncio(run_plainwire: RunPlainwire, certificate: Certificate) -> None:
    program = [sys.executable, PROGRAMS / "asyncio_echo.py", certificate.certificate, certificate.key, "10", "70000"]
    capture = run_plainwire("--json", "--", *program)
    assert capture.wait() == 0
    found = streams(capture.events())
    for direction in ("read", "write"):
        assert sorted(bytes(stream.data) for stream in found if stream.direction == direction) == sorted(
            2 * contents(10, 70_000)
        )
