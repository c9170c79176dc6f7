"""curl and nginx: what one writes the other reads, over both versions of TLS, with nginx older than the capture."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from plainwire.inspect.process import children
from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.servers import Server
from tests.support.streams import bytes_of, streams

pytestmark = pytest.mark.bpf

FILES = {"small.txt": b"hello\n", "large.bin": random.Random(1).randbytes(2_000_000), "empty": b""}
HEAD = re.compile(rb"HTTP/1.1 200 OK\r\n(?:[^\r\n]+\r\n)+\r\n")


def put_files(server: Server) -> None:
    for name, content in FILES.items():
        (server.files / name).write_bytes(content)


def curl(*arguments: str | Path) -> int:
    """Runs curl, which must succeed, to its end; its pid."""
    with subprocess.Popen(["curl", "-sSk", "--http1.1", *map(str, arguments)], stdout=subprocess.DEVNULL) as process:
        assert process.wait(60) == 0
        return process.pid


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ends_tell_the_same(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str
) -> None:
    with servers.nginx(tmp_path / "nginx", certificate, versions=[version]) as server:
        put_files(server)
        capture = run_plainwire("--json")
        got = tmp_path / "got"
        pid = curl("-o", got, f"{server.url}/large.bin")
        capture.stop()
        (worker,) = children(server.pid)
    (request,) = bytes_of(capture.events(), pid, "write")
    (response,) = bytes_of(capture.events(), pid, "read")
    assert request.startswith(b"GET /large.bin HTTP/1.1\r\n") and request.endswith(b"\r\n\r\n")
    assert HEAD.sub(b"", response) == FILES["large.bin"] == got.read_bytes()
    assert bytes_of(capture.events(), worker, "read") == [request]
    assert bytes_of(capture.events(), worker, "write") == [response]


def test_keep_alive(run_plainwire: RunPlainwire, nginx: Server) -> None:
    """Three requests on one connection are one stream."""
    put_files(nginx)
    capture = run_plainwire("--json")
    pid = curl(*(f"{nginx.url}/{name}" for name in FILES))
    capture.stop()
    ends = {stream.direction: stream for stream in streams(capture.events(), pid=pid)}
    assert len(streams(capture.events(), pid=pid)) == 2
    assert re.findall(rb"GET /(\S+) HTTP/1.1\r\n", ends["write"].data) == [name.encode() for name in FILES]
    assert HEAD.split(bytes(ends["read"].data))[1:] == list(FILES.values())
    (worker,) = children(nginx.pid)
    assert bytes_of(capture.events(), worker, "write") == [bytes(ends["read"].data)]


def test_200_short_lived_processes(run_plainwire: RunPlainwire, nginx: Server) -> None:
    """None is missed, and each is known by its command line though it is gone when its events are read."""
    (nginx.files / "file").write_bytes(b"x")
    capture = run_plainwire("--json")
    urls = {curl(f"{nginx.url}/file?{number}"): f"{nginx.url}/file?{number}" for number in range(200)}
    capture.stop()
    found = [stream for stream in streams(capture.events()) if stream.pid in urls]
    assert len(found) == 2 * len(urls) == 400
    for stream in found:
        event = stream.events[0]
        assert event["comm"] == "curl"
        assert Path(event["exe"]).name == "curl"
        assert event["cmdline"] == ["curl", "-sSk", "--http1.1", urls[stream.pid]]
        if stream.direction == "write":
            assert stream.data.startswith(b"GET /file" + urls[stream.pid].partition("/file")[2].encode() + b" HTTP")
        else:
            assert stream.data.endswith(b"\r\n\r\nx")
