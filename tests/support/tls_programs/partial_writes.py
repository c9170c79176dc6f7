"""Non-blocking sockets too small for what is written: calls that fail to be tried again, calls that take a part.

usage: partial_writes.py CERTIFICATE KEY REPORT partial|whole
"""

import random
import socket
import sys

from libssl import SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, SSL_MODE_ENABLE_PARTIAL_WRITE, Library, handshake

certificate, key, report, mode = sys.argv[1:]
library = Library()
client = library.end(library.context(), server=False)
server = library.end(library.context(certificate, key), server=True)
left, right = socket.socketpair()
for end, sock in ((client, left), (server, right)):
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    library.ssl.SSL_set_fd(end.ssl, sock.fileno())
handshake(client, server)
client.set_mode(SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | (SSL_MODE_ENABLE_PARTIAL_WRITE if mode == "partial" else 0))
refused = parts = 0
for number in range(20):
    data = random.Random(number).randbytes(200_000)
    sent = 0
    while sent < len(data):
        count = client.write(data[sent:])
        sent += count
        refused += count == 0
        parts += 0 < count < len(data)
        if count == 0:
            while server.read(50_000):
                pass
while server.read(50_000):
    pass
assert refused > 20
assert (parts > 0) == (mode == "partial")
assert b"".join(client.written) == b"".join(server.received)
library.report(report)
