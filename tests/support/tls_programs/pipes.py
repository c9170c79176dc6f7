"""A client and a server in one process, joined by two pipes.

usage: pipes.py CERTIFICATE KEY REPORT
"""

import os
import sys

from libssl import Library, handshake

certificate, key, report = sys.argv[1:]
library = Library()
client = library.end(library.context(), server=False)
server = library.end(library.context(certificate, key), server=True)
to_server, to_client = os.pipe(), os.pipe()
for descriptor in (*to_server, *to_client):
    os.set_blocking(descriptor, False)
for end, reads, writes in ((client, to_client[0], to_server[1]), (server, to_server[0], to_client[1])):
    bios = [library.crypto.BIO_new_fd(descriptor, 0) for descriptor in (reads, writes)]
    library.ssl.SSL_set_bio(end.ssl, *bios)
handshake(client, server)
assert client.write(b"question") == 8
assert server.read_exactly(8) == b"question"
assert server.write(b"answer") == 6
assert client.read_exactly(6) == b"answer"
library.report(report)
