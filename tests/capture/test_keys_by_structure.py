"""Secrets read from the SSL structure, compared with the key logs that the programs write themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.interactive import Peer
from tests.support.keylog_judge import HANDSHAKES, NO_DATA, PYTHON_PAIRS, s_client
from tests.support.keylogs import TLS13_LABELS, lines
from tests.support.plainwire import capture_of
from tests.support.processes import wait_until

pytestmark = pytest.mark.bpf

REQUEST = "GET /hello HTTP/1.0\r\n\r"  # and the line's end
BY_STRUCTURE = ("--no-data", "--json", "--keys-by", "structure")


@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_structure_of_client_and_server(
    handshake: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    client = tmp_path / "client.keys"
    command = s_client(judge, client, *HANDSHAKES[handshake])
    capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", tmp_path / "client", "--", *command)
    assert lines(tmp_path / "client") == without_rsa(lines(client))
    with run_plainwire(*BY_STRUCTURE, "--keylog", tmp_path / "server", "--pid", str(judge.pid)):
        before = lines(judge.files / "judge.keys")
        subprocess.run(command, check=True)
        wait_until(lambda: (tmp_path / "server").stat().st_size > 0, "the server's secrets")
    assert lines(tmp_path / "server") == without_rsa(lines(judge.files / "judge.keys") - before)


def without_rsa(of: set[str]) -> set[str]:
    """The encrypted premaster secret, which an RSA line names its connection by, stands in no structure."""
    return {line for line in of if not line.startswith("RSA ")}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_structure_of_resumed_connections(
    version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    ours, theirs, session = tmp_path / "ours", tmp_path / "theirs", str(tmp_path / "session")
    for option in ("-sess_out", "-sess_in"):
        command = s_client(judge, theirs, version, option, session)
        capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", ours, "--", *command)
    assert lines(ours) == lines(theirs)


def test_structure_after_a_key_update(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    """The structure holds later secrets then; the first ones are derived anew."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{judge.port}", "-tls1_3", "-keylogfile", str(theirs)]
    with Peer(command, tmp_path / "told") as client:
        client.wait_for("Verify return code")
        client.say("K")
        wait_until(lambda: "TRAFFIC_SECRET_N" in theirs.read_text(), "the key update")
        with run_plainwire(*BY_STRUCTURE, "--keylog", ours, "--pid", str(judge.pid)):
            client.say(REQUEST)
            wait_until(lambda: ours.stat().st_size > 0, "the secrets")
    assert lines(ours) == {line for line in lines(theirs) if "SECRET_N" not in line}


@pytest.mark.parametrize("by", ["auto", "structure"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_connection_that_is_older_than_the_capture(
    version: str, by: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{judge.port}", version, "-keylogfile", str(theirs)]
    with Peer(command, tmp_path / "told") as client:
        client.wait_for("Verify return code")
        with run_plainwire("--no-data", "--json", "--keylog", ours, "--keys-by", by, "--pid", str(judge.pid)):
            client.say(REQUEST)
            wait_until(lambda: ours.stat().st_size > 0, "the secrets")
    assert lines(ours) == lines(theirs)


def test_structure_of_200_connections_in_parallel(
    tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = [sys.executable, "-c", PYTHON_PAIRS, "200", certificate.certificate, certificate.key, theirs]
    capture = capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", ours, "--", *map(str, command))
    assert lines(ours) == lines(theirs)
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["losses"]) == (2 * 200 * len(TLS13_LABELS), {})


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_both_ways_agree(version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = s_client(judge, theirs, version)
    capture = capture_of(run_plainwire, *NO_DATA, "--verify-keys", "--keylog", ours, "--", *command)
    assert lines(ours) == lines(theirs)
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["secrets_verified"]) == (len(lines(ours)), len(lines(ours)))
    assert stats["losses"] == {}
