"""Equal addresses in two network namespaces are different connections."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.connections import ends_of
from tests.support.processes import wait_until

pytestmark = pytest.mark.bpf

PORT = 4433
CLIENT_PORT = 40123


def ip(*arguments: str) -> None:
    finished = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        pytest.skip(f"no network namespaces here: ip {' '.join(arguments)}: {finished.stderr.strip()}")


@pytest.fixture
def networks() -> Iterator[list[tuple[str, str]]]:
    """Two pairs of namespaces, joined by veth; both pairs have 10.77.0.1 (servers) and 10.77.0.2 (clients)."""
    name = f"plainwire-{os.getpid()}"
    pairs = [(f"{name}-s{number}", f"{name}-c{number}") for number in range(2)]
    made = []
    try:
        for server, client in pairs:
            for namespace in (server, client):
                ip("netns", "add", namespace)
                made.append(namespace)
            ip("-n", server, "link", "add", "there", "type", "veth", "peer", "name", "there", "netns", client)
            for namespace, own in ((server, "10.77.0.1/24"), (client, "10.77.0.2/24")):
                ip("-n", namespace, "address", "add", own, "dev", "there")
                ip("-n", namespace, "link", "set", "there", "up")
        yield pairs
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def test_equal_addresses_stay_apart(
    run_plainwire: RunPlainwire, certificate: Certificate, networks: list[tuple[str, str]]
) -> None:
    capture = run_plainwire("--json")
    serve = ["openssl", "s_server", "-accept", f"10.77.0.1:{PORT}", "-quiet"]
    files = ["-cert", str(certificate.certificate), "-key", str(certificate.key)]
    connect = ["openssl", "s_client", "-connect", f"10.77.0.1:{PORT}", "-bind", f"10.77.0.2:{CLIENT_PORT}", "-quiet"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    processes: list[subprocess.Popen[bytes]] = []
    namespaces = {}
    try:
        for number, (server, client) in enumerate(networks):
            processes.append(subprocess.Popen(["ip", "netns", "exec", server, *serve, *files], **pipes))
            listening = ["ip", "netns", "exec", server, "ss", "-Hltn", f"sport = {PORT}"]
            wait_until(lambda command=listening: subprocess.check_output(command) != b"", "s_server to listen")
            processes.append(subprocess.Popen(["ip", "netns", "exec", client, *connect], **pipes))
            text = f"network {number}\n".encode()
            processes[-1].stdin.write(text)
            processes[-1].stdin.flush()
            assert processes[-2].stdout.read(len(text)) == text
            for process, name in zip(processes[-2:], (server, client), strict=True):
                namespaces[process.pid] = Path(f"/run/netns/{name}").stat().st_ino
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    capture.stop()
    events = [event for event in capture.events("data") if event["pid"] in namespaces]
    assert [base64.b64decode(event["data"]) for event in events] == [b"network 0\n"] * 2 + [b"network 1\n"] * 2
    server_end, client_end = ("10.77.0.1", PORT), ("10.77.0.2", CLIENT_PORT)
    for event in events:
        client_side = event["direction"] == "write"
        assert ends_of(event) == ((client_end, server_end) if client_side else (server_end, client_end))
        assert event["connection"]["net_namespace"] == namespaces[event["pid"]]
    assert len({event["connection"]["id"] for event in events}) == 4
