"""openssl s_client and s_server, with their standard inputs and outputs as judges."""

from __future__ import annotations

import random
import subprocess

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.processes import end, free_port, is_listening, wait_until
from tests.support.streams import bytes_of

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_both_ends_tell_the_same(run_plainwire: RunPlainwire, certificate: Certificate, version: str) -> None:
    """s_server without -www: with it, libssl's own BIO_f_ssl moves the bytes, and no SSL_write is called."""
    port = free_port()
    accept = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", f"-{version}", "-naccept", "1"]
    files = ["-cert", str(certificate.certificate), "-key", str(certificate.key)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    question, answer = random.Random(1).randbytes(50_000), random.Random(2).randbytes(100_000)
    capture = run_plainwire("--json")
    server = subprocess.Popen([*accept, *files], **pipes)
    wait_until(lambda: is_listening(port), "s_server to listen")
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet"], **pipes)
    assert server.stdin and server.stdout and client.stdin and client.stdout
    try:
        client.stdin.write(question)
        client.stdin.flush()
        assert server.stdout.read(len(question)) == question
        server.stdin.write(answer)
        server.stdin.flush()
        assert client.stdout.read(len(answer)) == answer
    finally:
        end(client)
        end(server)
    capture.stop()
    events = capture.events()
    assert bytes_of(events, client.pid, "write") == bytes_of(events, server.pid, "read") == [question]
    assert bytes_of(events, server.pid, "write") == bytes_of(events, client.pid, "read") == [answer]
