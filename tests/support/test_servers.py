"""The servers that other tests rely on give the bytes that they should."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.certificate import Certificate


@pytest.mark.parametrize("version", servers.TLS_VERSIONS)
@pytest.mark.parametrize("server", [servers.nginx, servers.openssl_server])
def test_curl_gets_the_file(tmp_path: Path, certificate: Certificate, server: object, version: str) -> None:
    options = {"versions": [version]} if server is servers.nginx else {"version": version}
    content = os.urandom(40_000)
    with server(tmp_path / "server", certificate, **options) as running:  # type: ignore[operator]
        (running.files / "file.bin").write_bytes(content)
        command: list[str | Path] = ["curl", "-sS", "--cacert", certificate.certificate, "-o", tmp_path / "got"]
        subprocess.run([*command, f"{running.url}/file.bin"], check=True, timeout=20)
    assert (tmp_path / "got").read_bytes() == content


def test_echo_server_sends_back_what_it_gets(python_echo_server: servers.Server, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    with (
        socket.create_connection(("127.0.0.1", python_echo_server.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"to and fro")
        assert connection.recv(100) == b"to and fro"
