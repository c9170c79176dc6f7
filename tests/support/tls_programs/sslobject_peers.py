"""HTTP by http.client and by threads that serve, over ssl.SSLObject: TLS on memory BIOs, sockets moved by hand.

usage: sslobject_peers.py CERTIFICATE KEY REPORT CONNECTIONS TURNS

REPORT says for each text, which is a path or a header, which address its sender had, and which its receiver.
"""

import http.client
import io
import json
import os
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

certificate, key, report, connections, turns = sys.argv[1:]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE
said: dict[str, tuple[object, object]] = {}
answered: list[str] = []


class Tunnel:
    """TLS over a socket, by two memory BIOs; as much of a socket as http.client needs."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.plain = plain
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side)
        self._until_done(self.tls.do_handshake)

    def _until_done(self, call, *arguments):  # type: ignore[no-untyped-def]
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                received = self.plain.recv(65536)
                if received:
                    self.incoming.write(received)
                else:
                    self.incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.plain.sendall(self.outgoing.read())

    def sendall(self, data: bytes) -> None:
        self._until_done(self.tls.write, data)

    def read_into(self, buffer) -> int:  # type: ignore[no-untyped-def]
        try:
            return self._until_done(self.tls.read, len(buffer), buffer)
        except (ssl.SSLEOFError, ConnectionResetError):
            return 0

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(Stream(self))

    def close(self) -> None:
        self.plain.close()

    def say(self, text: str) -> str:
        said[text] = (self.plain.getsockname(), self.plain.getpeername())
        return text


class Stream(io.RawIOBase):
    """What is read from a tunnel, which stays open when this is closed."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def,override]
        return self.tunnel.read_into(buffer)


class Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = Tunnel(socket.create_connection((self.host, self.port)), client_context, server_side=False)


def serve() -> None:
    while True:
        plain, _ = listener.accept()
        tunnel = Tunnel(plain, server_context, server_side=True)
        lines = tunnel.makefile("rb")
        while request := lines.readline().decode():
            while lines.readline().strip():
                pass
            text = tunnel.say(request.split()[1].replace("/client", "server"))
            tunnel.sendall(f"HTTP/1.1 200 OK\r\nX-Text: {text}\r\nContent-Length: 0\r\n\r\n".encode())
            answered.append(text)
        plain.close()


def talk(number: int) -> None:
    connection = Connection("127.0.0.1", port)
    connection.connect()
    for turn in range(int(turns)):
        text = connection.sock.say(f"client-{number:04}-{turn:04}")
        connection.request("GET", f"/{text}")
        response = connection.getresponse()
        assert response.headers["X-Text"] == text.replace("client", "server")
        response.read()


listener = socket.create_server(("127.0.0.1", 0), backlog=200)
port = listener.getsockname()[1]
for _ in range(int(connections)):
    threading.Thread(target=serve, daemon=True).start()
with ThreadPoolExecutor(int(connections)) as pool:
    list(pool.map(talk, range(int(connections))))
while len(answered) < int(connections) * int(turns):  # a thread may still be inside the write that was read already
    time.sleep(0.001)
Path(report).write_text(json.dumps({"pid": os.getpid(), "said": said}))
os._exit(0)
