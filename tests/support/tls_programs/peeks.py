"""SSL_peek and SSL_peek_ex look at what SSL_read then takes; SSL_read_ex and SSL_write_ex beside the plain ones.

usage: peeks.py CERTIFICATE KEY REPORT
"""

import sys

from libssl import Library

certificate, key, report = sys.argv[1:]
library = Library()
client, server = library.pair(certificate, key)
for number in range(10):
    data = b"message %d" % number
    client.write(data, by=("SSL_write", "SSL_write_ex")[number % 2])
    assert server.read(4, by="SSL_peek", keep=False) == data[:4]
    assert server.read(1000, by="SSL_peek_ex", keep=False) == data
    assert server.read(3, by="SSL_read_ex") == data[:3]
    assert server.read(1000, by="SSL_peek", keep=False) == data[3:]
    assert server.read(1000) == data[3:]
    assert not server.read(1000)
    assert not server.read(1000, by="SSL_read_ex")
library.report(report)
