"""A server whose own key log judges ours, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import servers
from tests.support.certificate import Certificate

NO_DATA = ("--no-data", "--json")  # and by default the log function


@contextmanager
def logging_server(folder: Path, certificate: Certificate, *options: str) -> Iterator[servers.Server]:
    """`openssl s_server` that writes its own key log, judge.keys in its `files`, and serves the file hello."""
    with servers.openssl_server(folder, certificate, options=("-WWW", "-keylogfile", "judge.keys", *options)) as server:
        (server.files / "hello").write_text("hello")
        yield server


def s_client(server: servers.Server, keys: Path, *options: str) -> list[str]:
    """The command of a client that writes its own key log and reads one answer."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-keylogfile", str(keys), *options]
    return ["sh", "-c", f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | {' '.join(command)} -ign_eof >/dev/null 2>&1"]


HANDSHAKES = {
    "1.3 SHA-256": ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"),
    "1.3 SHA-384": ("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
    "1.3 ChaCha20": ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
    "1.2 ECDHE": ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
    "1.2 ECDHE SHA-384": ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
    "1.2 RSA": ("-tls1_2", "-cipher", "AES128-SHA"),
}


# COUNT CERTIFICATE KEY KEYLOG: so many clients at once, and their server, in one process.
PYTHON_PAIRS = """
import socket, ssl, sys, threading
count, certificate, key, keys = int(sys.argv[1]), *sys.argv[2:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(certificate)
server.keylog_filename = client.keylog_filename = keys
listener = socket.create_server(("127.0.0.1", 0), backlog=count)
def serve():
    for _ in range(count):
        threading.Thread(target=answer, args=listener.accept()[:1]).start()
def answer(connection):
    with server.wrap_socket(connection, server_side=True) as tls:
        tls.sendall(tls.recv(100))
failures = []
def ask(number):
    try:
        with socket.create_connection(listener.getsockname()) as connection:
            with client.wrap_socket(connection, server_hostname="localhost") as tls:
                tls.sendall(b"%d" % number)
                assert tls.recv(100) == b"%d" % number
    except BaseException as error:
        failures.append(error)
threading.Thread(target=serve).start()
threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(repr(failures) if failures else 0)
"""
