"""Key logs of live captures, compared with the ones that the programs write themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.keylog_judge import HANDSHAKES, NO_DATA, PYTHON_PAIRS, s_client
from tests.support.keylogs import TLS13_LABELS, labels, lines, randoms
from tests.support.plainwire import capture_of
from tests.support.processes import free_port, running, wait_until

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_client_and_server(handshake: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    client = tmp_path / "client.keys"
    command = s_client(judge, client, *HANDSHAKES[handshake])
    capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "client", "--", *command)
    assert lines(tmp_path / "client") == lines(client)
    with run_plainwire(*NO_DATA, "--keylog", tmp_path / "server", "--pid", str(judge.pid)):
        before = lines(judge.files / "judge.keys")
        subprocess.run(command, check=True)
        wait_until(lambda: (tmp_path / "server").stat().st_size > 0, "the server's secrets")
    assert lines(tmp_path / "server") == lines(judge.files / "judge.keys") - before
    expected = {"CLIENT_RANDOM"} if handshake.startswith("1.2") else TLS13_LABELS
    assert labels(lines(tmp_path / "server")) - {"RSA"} == expected
    assert ("RSA" in labels(lines(tmp_path / "client"))) == (handshake == "1.2 RSA")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumed(version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs, session = tmp_path / "ours", tmp_path / "theirs", str(tmp_path / "session")
    first = s_client(judge, theirs, version, "-sess_out", session)
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *first)
    second = s_client(judge, theirs, version, "-sess_in", session)
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *second)
    assert lines(ours) == lines(theirs)
    assert len(randoms(lines(ours))) == 2


WITHOUT_EMS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET of <openssl/ssl.h>
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))) as tls:
    tls.sendall(b"GET /hello HTTP/1.0\\r\\n\\r\\n")
    tls.recv(1000)
"""


def test_without_extended_master_secret(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    command = [sys.executable, "-c", WITHOUT_EMS, str(judge.port)]
    capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "ours", "--", *command)
    assert lines(tmp_path / "ours") == lines(judge.files / "judge.keys")
    assert labels(lines(tmp_path / "ours")) == {"CLIENT_RANDOM"}


def test_early_data(tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire) -> None:
    ours, theirs, session, early = (tmp_path / name for name in ("ours", "theirs", "session", "early"))
    early.write_text("early")
    port = free_port()
    # s_server serves no files when it takes early data, and ends with its standard input.
    files = f"-cert {certificate.certificate} -key {certificate.key}"
    server = f"exec openssl s_server -accept 127.0.0.1:{port} {files} -early_data -no_anti_replay < <(sleep 30)"
    client = f"sleep 0.5 | openssl s_client -connect 127.0.0.1:{port} -tls1_3 -keylogfile {theirs}"
    with running(["bash", "-c", server], port=port):
        first = f"{client} -sess_out {session} >/dev/null 2>&1"
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", "sh", "-c", first)
        assert labels(lines(ours)) == TLS13_LABELS
        second = f"{client} -sess_in {session} -early_data {early} >/dev/null 2>&1"
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", "sh", "-c", second)
    assert lines(ours) == lines(theirs)
    assert "CLIENT_EARLY_TRAFFIC_SECRET" in labels(lines(ours))


def test_key_updates_change_nothing(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    client = f"openssl s_client -connect 127.0.0.1:{judge.port} -tls1_3 -keylogfile {theirs}"
    # A line with a lone K asks s_client for an update of both directions' keys.
    command = [
        "sh",
        "-c",
        f"(sleep 0.3; echo K; sleep 0.3; printf 'GET /hello HTTP/1.0\\r\\n\\r\\n'; sleep 0.3) | {client} >/dev/null",
    ]
    capture = capture_of(run_plainwire, "--json", "--keylog", ours, "--", *command)
    assert any(event["kind"] == "data" for event in capture.events())
    assert lines(ours) == lines(theirs)
    # The updated secret has a label of its own; under the first one's it would be wrong.
    assert labels(lines(ours)) == TLS13_LABELS | {"CLIENT_TRAFFIC_SECRET_N"}
    assert len(lines(ours)) == len(TLS13_LABELS) + 1


def test_curl(tmp_path: Path, nginx: servers.Server, run_plainwire: RunPlainwire) -> None:
    (nginx.files / "hello").write_text("hello")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = ["env", f"SSLKEYLOGFILE={theirs}", "curl", "-sk", f"{nginx.url}/hello", "--tls-max"]
    for version in ("1.2", "1.3"):
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *command, version)
    assert lines(ours) == lines(theirs)
    assert labels(lines(ours)) == TLS13_LABELS | {"CLIENT_RANDOM"}


def test_python_with_200_connections_in_parallel(
    tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = [sys.executable, "-c", PYTHON_PAIRS, "200", certificate.certificate, certificate.key, theirs]
    capture = capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *map(str, command))
    assert lines(ours) == lines(theirs)
    assert len(randoms(lines(ours))) == 200
    assert len(ours.read_text().splitlines()) == 200 * len(TLS13_LABELS)  # both ends: each line once
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["losses"]) == (2 * 200 * len(TLS13_LABELS), {})


def test_a_program_that_writes_no_key_log(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours = tmp_path / "ours"
    command = ["wget", "-q", "--no-check-certificate"] if not shutil.which("curl") else ["curl", "-sk"]
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *command, f"{judge.url}/hello")
    assert lines(ours) == lines(judge.files / "judge.keys")
