"""node: mostly a static binary that exports the functions of its own OpenSSL; Debian's uses the system's."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.processes import free_port, running
from tests.support.streams import bytes_of
from tests.support.tls_program import PROGRAMS

NODE = shutil.which("node")
pytestmark = [pytest.mark.bpf, pytest.mark.skipif(NODE is None, reason="node is not installed")]
SCRIPT = str(PROGRAMS / "node_echo.js")


def test_both_ends_tell_the_same(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """The server is older than the capture, the client younger."""
    assert NODE
    content = random.Random(1).randbytes(300_000)
    (tmp_path / "content").write_bytes(content)
    port = free_port()
    serve = [NODE, SCRIPT, "server", str(port), certificate.certificate, certificate.key]
    with running(serve, port=port) as server:
        capture = run_plainwire("--json")
        with subprocess.Popen([NODE, SCRIPT, "client", str(port), str(tmp_path / "content")]) as client:
            assert client.wait(60) == 0
        capture.stop()
    for pid in (client.pid, server.pid):
        for direction in ("read", "write"):
            assert bytes_of(capture.events(), pid, direction) == [content]
    assert NODE is not None
    linked = subprocess.run(["ldd", NODE], capture_output=True, text=True, check=False).stdout
    library = "libssl.so.3" if "libssl.so.3" in linked else "node"
    assert {Path(event["library"]).name for event in capture.events("data") if event["pid"] == client.pid} == {library}


def test_first_call_of_a_command(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    assert NODE
    (tmp_path / "content").write_bytes(b"short")
    port = free_port()
    with running([NODE, SCRIPT, "server", str(port), certificate.certificate, certificate.key], port=port):
        capture = run_plainwire("--json", "--", NODE, SCRIPT, "client", str(port), tmp_path / "content")
        assert capture.wait() == 0
    assert [event["data"] for event in capture.events("data")] == ["c2hvcnQ="] * 2
