"""Version and cipher of live connections, as the client asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.interactive import Peer
from tests.support.servers import Server

pytestmark = pytest.mark.bpf

CIPHERS = {
    "TLS_CHACHA20_POLY1305_SHA256": ("TLSv1.3", "-tls1_3", "-ciphersuites"),
    "ECDHE-RSA-AES128-GCM-SHA256": ("TLSv1.2", "-tls1_2", "-cipher"),
}


@pytest.mark.parametrize("cipher", CIPHERS)
def test_version_and_cipher_are_told_once(
    cipher: str, tmp_path: Path, python_echo_server: Server, run_plainwire: RunPlainwire
) -> None:
    version, *options = CIPHERS[cipher]
    server = python_echo_server
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-quiet", *options, cipher]
    with Peer(command, tmp_path / "told") as client:
        client.say("a word")
        client.wait_for("a word")
        capture = run_plainwire("--json", "--pid", str(client.pid), "--pid", str(server.pid))
        for turn in range(100):  # where the library keeps them is learned meanwhile
            client.say(f"turn {turn}.")
            client.wait_for(f"turn {turn}.")
            if len(capture.events("tls")) == 2:
                break
        client.say("another word")
        client.wait_for("another word")
        capture.stop()
    states = {event["pid"]: event for event in capture.events("tls")}
    assert states.keys() == {client.pid, server.pid}
    assert {(event["tls_version"], event["cipher"]) for event in states.values()} == {(version, cipher)}
    assert len(capture.events("tls")) == 2
    assert {(event["pid"], event["ssl"]) for event in capture.events("data")} == {
        (pid, event["ssl"]) for pid, event in states.items()
    }
