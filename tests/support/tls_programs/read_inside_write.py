"""Another connection is read while a write is under way on the same thread, and written while one is read.

usage: read_inside_write.py CERTIFICATE KEY REPORT
"""

import sys

from libssl import Library, handshake

certificate, key, report = sys.argv[1:]
library = Library()
side_client, side_server = library.pair(certificate, key)
to_server: list[bytes] = []
to_client: list[bytes] = []
started = False


def take(queue: list[bytes], size: int) -> bytes:
    if not queue:
        return b""
    data, queue[0] = queue[0][:size], queue[0][size:]
    if not queue[0]:
        del queue[0]
    return data


def client_writes(data: bytes) -> int:
    to_server.append(data)
    if started:
        assert side_client.read(1000) == b"for the one that writes"
    return len(data)


def client_reads(size: int) -> bytes:
    if started:
        side_client.write(b"by the one that reads")
    return take(to_client, size)


def server_writes(data: bytes) -> int:
    to_client.append(data)
    return len(data)


client = library.end(library.context(), server=False)
server = library.end(library.context(certificate, key), server=True)
client.use_bio(library.custom_bio(client_writes, client_reads))
server.use_bio(library.custom_bio(server_writes, lambda size: take(to_server, size)))
handshake(client, server)
for _ in range(10):  # the session tickets
    client.read(1)
started = True
for number in range(20):
    side_server.write(b"for the one that writes")
    client.write(b"outer %d" % number)
    server.read(1000)
    server.write(b"answer %d" % number)
    assert client.read(1000) == b"answer %d" % number
    assert not client.read(1000)  # nothing there
while side_server.read(1000):
    pass
library.report(report)
