"""nginx with four forked workers, whose SSL structures have equal addresses, and fifty clients at once."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest

from plainwire.inspect.process import children
from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.connections import ends_of

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
        capture.stop()
        workers = children(server.pid)
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
