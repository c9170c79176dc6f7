"""A TLS server by Python's ssl module alone: each connection has a thread that sends back what it receives.

usage: echo_server.py PORT CERTIFICATE KEY 1.2|1.3|any
"""

from __future__ import annotations

import socketserver
import ssl
import sys


class Server(socketserver.ThreadingTCPServer):
    """Listens until it is killed."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class Echo(socketserver.BaseRequestHandler):
    """One connection."""

    server: Server

    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as connection:
            while received := connection.recv(65536):
                connection.sendall(received)


def main(port: str, certificate: str, key: str, version: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if version != "any":
        context.minimum_version = context.maximum_version = ssl.TLSVersion[f"TLSv{version.replace('.', '_')}"]
    with Server(("127.0.0.1", int(port)), Echo) as server:
        server.context = context
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
