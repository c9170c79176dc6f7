"""TLS 1.3 early data (RFC 8446, section 2.3) on a resumed session.

usage: early_data.py CERTIFICATE KEY REPORT
"""

import sys

from libssl import Library, handshake, join

certificate, key, report = sys.argv[1:]
library = Library()
client_context = library.context(version="1.3")
server_context = library.context(certificate, key, version="1.3")
library.ssl.SSL_CTX_set_max_early_data(server_context, 16384)

first_client, first_server = library.end(client_context, server=False), library.end(server_context, server=True)
join(first_client, first_server, 1 << 16)
handshake(first_client, first_server)
first_server.write(b"tickets come before this")
assert first_client.read(100) == b"tickets come before this"

client, server = library.end(client_context, server=False), library.end(server_context, server=True)
join(client, server, 1 << 16)
library.ssl.SSL_set_session(client.ssl, library.ssl.SSL_get1_session(first_client.ssl))
assert client.write(b"early", by="SSL_write_early_data") == 5
assert client.write(b" bird", by="SSL_write_early_data") == 5
assert server.read(100, by="SSL_read_early_data") == b"early"
assert server.read(100, by="SSL_read_early_data") == b" bird"
handshake(client, server)
assert not server.read(100, by="SSL_read_early_data")
handshake(client, server)
client.write(b"late")
assert server.read(100) == b"late"
library.report(report)
