"""The socket that is used inside a call, by whatever hooks: curl's BIO is curl's own, so nothing else can tell."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import RunPlainwire
from tests.support.processes import PATIENCE
from tests.support.servers import Server

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_curl_names_the_ends_that_plainwire_names(run_plainwire: RunPlainwire, nginx: Server, address: str) -> None:
    (nginx.files / "page").write_bytes(b"x" * 50_000)
    capture = run_plainwire("--json", "--comm", "curl")
    ends = "%{local_ip} %{local_port} %{remote_ip} %{remote_port}"
    command = ["curl", "-sk", "-o", "/dev/null", "-w", ends, f"https://{address}:{nginx.port}/page"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60 * PATIENCE).stdout.split()
    capture.stop()
    events = [event for event in capture.events("data") if (event["connection"] or {}).get("remote_port") == nginx.port]
    assert {event["direction"] for event in events} == {"read", "write"}
    assert sum(event["length"] for event in events if event["direction"] == "read") > 50_000
    for event in events:
        connection = event["connection"]
        named = [connection[name] for name in ("local_address", "local_port", "remote_address", "remote_port")]
        assert [str(end) for end in named] == said
        assert connection["way"] == "thread"
