"""Packets of Go programs in one file that tshark reads decrypted: their secrets come before the packets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import go
from tests.support.certificate import Certificate
from tests.support.plainwire import Capture
from tests.support.processes import free_port, running
from tests.support.tshark import tshark

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("http", ["1.1", "2"])
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("go_version", [go.OLDEST, go.NEWEST])
def test_one_file_shows_what_go_programs_say(
    certificate: Certificate, tmp_path: Path, go_version: str, tls: str, http: str
) -> None:
    program = go.build(go_version, "http", "-ldflags=-s -w")
    trace, port = tmp_path / "trace.pcapng", free_port()
    options = ["--elf", program, "-i", "lo", "--pcapng", trace, "--out", os.devnull, f"tcp port {port}"]
    server = [program, "server", f"127.0.0.1:{port}", certificate.certificate, certificate.key]
    with Capture(*options) as capture, running(server, port=port) as serving:
        command = [program, "client", f"https://127.0.0.1:{port}/path", "20000", tls, http]
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as client:
            printed, _ = client.communicate(timeout=60)
        assert printed.split() == [f"HTTP/{'2.0' if http == '2' else '1.1'}", "20000"]
        assert capture.stop() == 0
    fields = ("http.request.method", "http.request.uri", "http.response.code")
    if http == "2":
        fields = ("http2.headers.method", "http2.headers.path", "http2.headers.status")
    rows = tshark(trace, f"tcp.port == {port}", *fields)
    assert [[value for value in column if value] for column in zip(*rows, strict=True)] == [
        ["POST"],
        ["/path"],
        ["200"],
    ]
    size = "http.content_length" if http == "1.1" else "http2.headers.content_length"
    assert ["20000"] in tshark(trace, size, size)
    versions = {
        row[0] for row in tshark(trace, "tls.handshake.type == 2", "tls.handshake.extensions.supported_version")
    }
    assert versions == ({"0x0304"} if tls == "1.3" else {""})
    comments = {row[0].split()[0] for row in tshark(trace, "tcp", "frame.comment")}
    assert comments == {f"pid={client.pid}", f"pid={serving.pid}"}
