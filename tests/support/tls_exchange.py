"""A real TLS exchange in memory: what both ends would have put on the wire, and the keys as the library logs them."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


class Exchange(NamedTuple):
    key_log: bytes
    flights: list[tuple[bool, bytes]]
    """Whether the client sent it, and TLS records as they were written."""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, both as PEM files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def exchange(folder: Path, version: ssl.TLSVersion, request: bytes, response: bytes) -> Exchange:
    """Handshake, request and response between two ends of CPython's ssl module."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(*make_certificate(folder))
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.maximum_version = version
    key_log = folder / "keys.log"
    client_context.keylog_filename = str(key_log)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    from_client, from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, from_client)
    server = server_context.wrap_bio(to_server, from_server, server_side=True)
    flights: list[tuple[bool, bytes]] = []

    def deliver() -> None:
        for by_client, source, target in ((True, from_client, to_server), (False, from_server, to_client)):
            if records := source.read():
                flights.append((by_client, records))
                target.write(records)

    unfinished = [client, server]
    while unfinished:
        for end in list(unfinished):
            try:
                end.do_handshake()
                unfinished.remove(end)
            except ssl.SSLWantReadError:
                pass
            deliver()
    client.write(request)
    deliver()
    assert server.read(len(request) + 1) == request
    server.write(response)
    deliver()
    return Exchange(key_log.read_bytes(), flights)
