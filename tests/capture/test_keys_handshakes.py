"""Secrets of handshakes that take a turn: nothing wrong is written, and all that the program's own key log has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.interactive import Peer
from tests.support.keylogs import TLS13_LABELS, labels, lines, randoms
from tests.support.processes import free_port, is_listening, wait_until
from tests.support.servers import openssl_server
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf

WAYS = ["log", "structure"]
EARLY = {"CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_SECRET"}


def by(way: str) -> tuple[str, ...]:
    return ("--no-data", "--json", "--keys-by", way)


@pytest.mark.parametrize(
    ("way", "begins"),
    [*((way, "before the handshake") for way in WAYS), ("structure", "after the authentication")],
)
def test_post_handshake_authentication(
    way: str, begins: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = [sys.executable, PROGRAMS / "post_handshake_auth.py", certificate.certificate, certificate.key, theirs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        captures = []
        for step in ("start", "authenticated", "done"):
            assert program.stdout.readline() == f"{step}\n"
            if step == ("start" if begins == "before the handshake" else "authenticated"):
                captures.append(run_plainwire(*by(way), "--keylog", ours, "--pid", str(program.pid)))
            program.stdin.write("\n")
            program.stdin.flush()
        program.communicate()
        assert program.returncode == 0
    captures[0].stop()
    assert lines(ours) == lines(theirs)
    assert labels(lines(ours)) == TLS13_LABELS


@pytest.mark.parametrize("way", WAYS)
def test_hello_retry_request(way: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire) -> None:
    ours, theirs, told = tmp_path / "ours", tmp_path / "theirs", tmp_path / "told"
    options = ("-WWW", "-tls1_3", "-groups", "P-384", "-keylogfile", "judge.keys")
    with openssl_server(tmp_path / "server", certificate, options=options) as server:
        (server.files / "hello").write_text("hello")
        client = f"openssl s_client -connect 127.0.0.1:{server.port} -keylogfile {theirs} -groups X25519:P-384"
        script = f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | {client} -msg -ign_eof >{told} 2>&1"
        with run_plainwire(*by(way), "--keylog", tmp_path / "server's", "--pid", str(server.pid)):
            assert run_plainwire(*by(way), "--keylog", ours, "--", "sh", "-c", script).wait() == 0
        judged = lines(server.files / "judge.keys")
    assert told.read_text(errors="replace").count(">>> TLS 1.3, Handshake [length") >= 2
    assert told.read_text(errors="replace").count("ClientHello") == 2
    assert lines(ours) == lines(tmp_path / "server's") == lines(theirs) == judged
    assert labels(judged) == TLS13_LABELS


@contextmanager
def interactive_server(
    folder: Path, certificate: Certificate, *options: str, version: str = "-tls1_3"
) -> Iterator[tuple[int, Path, Peer]]:
    """`openssl s_server` that is told what to do on its standard input: its port, its key log, itself."""
    port, keys = free_port(), folder / "judge.keys"
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", version, "-keylogfile", str(keys), *options]
    command += ["-cert", str(certificate.certificate), "-key", str(certificate.key)]
    with Peer(command, folder / "server.told") as peer:
        wait_until(lambda: is_listening(port), "s_server to listen")
        yield port, keys, peer


def update_keys(peer: Peer, command: str) -> None:
    """k or K. What else the peer reads together with it is lost, so wait for the answer, s_client's or s_server's."""

    def answers() -> int:
        return peer.told.count("KEYUPDATE") + peer.told.count("SSL_do_handshake ->")

    before = answers()
    peer.say(command)
    wait_until(lambda: answers() > before, "an update of the keys")


@pytest.mark.parametrize("way", WAYS)
def test_early_data_accepted_and_rejected(
    way: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs, session, early = (tmp_path / name for name in ("ours", "theirs", "session", "early"))
    early.write_text("early")
    with interactive_server(tmp_path, certificate, "-early_data") as (port, judge, server):
        client = f"sleep 0.5 | openssl s_client -connect 127.0.0.1:{port} -tls1_3 -keylogfile {theirs}"
        with run_plainwire(*by(way), "--keylog", tmp_path / "server's", "--pid", str(server.pid)):
            # The server takes a ticket once: what is sent early with it again might be a replay.
            for number, arguments in enumerate(
                [f"-sess_out {session}", *2 * [f"-sess_in {session} -early_data {early}"]]
            ):
                told = tmp_path / f"told{number}"
                command = f"{client} {arguments} >{told} 2>&1"
                assert run_plainwire(*by(way), "--keylog", ours, "--", "sh", "-c", command).wait() == 0
        judged = lines(judge)
    words = [(tmp_path / f"told{number}").read_text(errors="replace") for number in range(3)]
    assert "Early data was accepted" in words[1]
    assert "Early data was rejected" in words[2]
    of_early_data = {line for line in lines(theirs) if line.split()[0] in EARLY}
    assert len(randoms(of_early_data)) == 2  # of the client, who sent it twice
    assert len(randoms({line for line in judged if line.split()[0] in EARLY})) == 1
    if way == "structure":  # which has no secrets of early data any more
        assert lines(ours) == lines(theirs) - of_early_data
        assert lines(tmp_path / "server's") == judged - of_early_data
    else:
        assert lines(ours) == lines(theirs)
        assert lines(tmp_path / "server's") == judged


@pytest.mark.parametrize("way", [*WAYS, "structure, later"])
def test_key_updates_of_both_ends(
    way: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    """k renews the sender's keys, K asks for the other's too (RFC 8446, section 4.6.3)."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    way, _, later = way.partition(", ")
    with interactive_server(tmp_path, certificate) as (port, judge, server):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-keylogfile", str(theirs)]
        common = (*by(way), "--keylog", ours, "--pid", str(server.pid))
        captures = [] if later else [run_plainwire(*common)]
        with Peer(command, tmp_path / "client.told") as client:
            client.wait_for("Verify return code")
            for turn in range(2):
                for sender, receiver in ((client, server), (server, client)):
                    for update in ("k", "K"):
                        update_keys(sender, update)
                        text = f"turn {turn} {update} {sender.pid}"
                        sender.say(text)
                        receiver.wait_for(text)
            captures = captures or [run_plainwire(*common)]
            client.say("at last")
            server.wait_for("at last")
            wait_until(lambda: len(lines(ours)) > 0, "the secrets")
        captures[0].stop()
        judged = lines(judge)
    updated = {line for line in judged if line.split()[0].endswith("_N")}
    assert len(updated) > 2
    first = {line for line in lines(theirs) if not line.split()[0].endswith("_N")}
    assert labels(first) == TLS13_LABELS
    assert lines(ours) == (judged if way == "log" else first)
    assert judged - updated == first


@pytest.mark.parametrize("way", WAYS)
def test_renegotiation(way: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire) -> None:
    """A second handshake of TLS 1.2 on the same SSL structure has a client random and a secret of its own."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with interactive_server(tmp_path, certificate, "-client_renegotiation", version="-tls1_2") as (port, judge, server):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-keylogfile", str(theirs)]
        with run_plainwire(*by(way), "--keylog", ours, "--pid", str(server.pid)):
            with Peer(command, tmp_path / "client.told") as client:
                client.wait_for("Verify return code")
                client.say("the first word")
                server.wait_for("the first word")
                client.say("R")
                client.wait_for("RENEGOTIATING")
                wait_until(lambda: len(randoms(lines(theirs))) == 2, "the second handshake")
                client.say("the second word")
                server.wait_for("the second word")
            wait_until(lambda: len(lines(ours)) >= 2, "the secrets")
        judged = lines(judge)
    assert lines(ours) == lines(theirs) == judged
    assert len(randoms(judged)) == 2
