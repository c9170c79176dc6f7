"""nginx with four forked workers, whose SSL structures have equal addresses, and fifty clients at once."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plainwire.inspect.process import children
from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.connections import address, check_openings_and_ends, ends_of, wait_for_ends
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf

CLIENTS = 50
ENDS = "%{local_ip} %{local_port} %{remote_ip} %{remote_port}"


def test_each_request_has_its_client(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    with servers.nginx(tmp_path / "nginx", certificate, workers=4) as server:
        (server.files / "file").write_bytes(b"x" * 40_000)
        capture = run_plainwire("--json")
        clients = [
            subprocess.Popen(
                ["curl", "-sSk", "--http1.1", "-o", "/dev/null", "-w", ENDS, f"{server.url}/file?{number}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(CLIENTS)
        ]
        told = [client.communicate(timeout=60)[0].split() for client in clients]
        workers = children(server.pid)
        wait_for_ends(capture, 2 * CLIENTS, *(client.pid for client in clients), *workers)
        capture.stop()
    clients_ends = {
        client.pid: ((mine, int(my_port)), (its, int(its_port)))
        for client, (mine, my_port, its, its_port) in zip(clients, told, strict=True)
    }
    assert len(set(clients_ends.values())) == CLIENTS
    events = capture.events("data")
    for event in events:
        if event["pid"] in clients_ends:
            assert ends_of(event) == clients_ends[event["pid"]]
    answered = set()
    for event in (event for event in events if event["pid"] in workers and event["direction"] == "read"):
        number = int(re.match(rb"GET /file\?(\d+) ", base64.b64decode(event["data"]))[1])
        assert ends_of(event) == clients_ends[clients[number].pid][::-1]
        answered.add(number)
    assert answered == set(range(CLIENTS))
    written = [event for event in events if event["pid"] in workers and event["direction"] == "write"]
    for ends in clients_ends.values():
        lengths = [event["length"] for event in written if ends_of(event) == ends[::-1]]
        assert sum(lengths) > 40_000
    assert sum(event["length"] for event in written) < CLIENTS * 41_000
    opened = check_openings_and_ends(capture.events(), *clients_ends, *workers)
    directions = {(event["direction"], ends_of(event)) for event in opened.values()}
    assert directions == {("connect", ends) for ends in clients_ends.values()} | {
        ("accept", ends[::-1]) for ends in clients_ends.values()
    }
    assert len(opened) == 2 * CLIENTS


def test_kept_alive(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """Several requests on one connection: it is opened and closed once."""
    with servers.nginx(tmp_path / "nginx", certificate) as server:
        (server.files / "file").write_bytes(b"x" * 100)
        capture = run_plainwire("--json")
        command = ["curl", "-sSk", "-w", f"{ENDS}\n", *["-o", "/dev/null", f"{server.url}/file"] * 5]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as curl:
            told = {tuple(line.split()) for line in curl.communicate(timeout=60)[0].splitlines()}
        worker = children(server.pid)[0]
        wait_for_ends(capture, 2, curl.pid, worker)
        capture.stop()
    ((mine, my_port, its, its_port),) = told
    ends = (mine, int(my_port)), (its, int(its_port))
    opened = check_openings_and_ends(capture.events(), curl.pid, worker)
    assert {(event["pid"], event["direction"], ends_of(event)) for event in opened.values()} == {
        (curl.pid, "connect", ends),
        (worker, "accept", ends[::-1]),
    }
    requests = [event for event in capture.events("data") if event["pid"] == worker and event["direction"] == "read"]
    assert len(requests) == 5


def test_through_a_proxy(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """HTTP CONNECT: client and server have a connection with the proxy each, and none with each other."""
    report = tmp_path / "report.json"
    with servers.nginx(tmp_path / "nginx", certificate) as server:
        (server.files / "file").write_bytes(b"x" * 100)
        with subprocess.Popen(
            [sys.executable, PROGRAMS / "connect_proxy.py", report], stdout=subprocess.PIPE, text=True
        ) as proxy:
            assert proxy.stdout
            port = int(proxy.stdout.readline())
            capture = run_plainwire("--json", "--connections", "all")
            command = ["curl", "-sSk", "-o", "/dev/null", "-x", f"http://127.0.0.1:{port}", f"{server.url}/file"]
            with subprocess.Popen(command) as curl:
                assert curl.wait(60) == 0
            assert proxy.wait(60) == 0
            worker = children(server.pid)[0]
            wait_for_ends(capture, 4, curl.pid, proxy.pid, worker)
            capture.stop()
    told = json.loads(report.read_text())
    near = tuple(map(address, told["client"]))
    far = tuple(map(address, told["server"]))
    for event in capture.events("data"):
        if event["pid"] in (curl.pid, worker):
            assert ends_of(event) == (near[::-1] if event["pid"] == curl.pid else far[::-1])
    opened = [event for event in capture.events("connect") if event["pid"] in (curl.pid, worker, proxy.pid)]
    assert {(event["pid"], event["direction"], ends_of(event)) for event in opened} == {
        (curl.pid, "connect", near[::-1]),
        (proxy.pid, "accept", near),
        (proxy.pid, "connect", far),
        (worker, "accept", far[::-1]),
    }
    moved = {ends_of(event): event for event in capture.events("close")}
    assert moved[near]["tcp_received_bytes"] == moved[near[::-1]]["tcp_sent_bytes"] == told["from_client"]
    assert moved[far]["tcp_received_bytes"] == moved[far[::-1]]["tcp_sent_bytes"] == told["from_server"]
