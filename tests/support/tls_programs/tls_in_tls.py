"""A TLS connection inside another one: the inner one's records are the outer one's payload, by nested calls.

usage: tls_in_tls.py CERTIFICATE KEY REPORT
"""

import sys

from libssl import Library, handshake

certificate, key, report = sys.argv[1:]
library = Library()
outer_client, outer_server = library.pair(certificate, key)
inner_client = library.end(library.context(), server=False)
inner_server = library.end(library.context(certificate, key), server=True)
inner_client.use_bio(library.custom_bio(outer_client.write, outer_client.read))
inner_server.use_bio(library.custom_bio(outer_server.write, outer_server.read))
handshake(inner_client, inner_server)
for number in range(30):
    question = b"question %d " % number * 1500
    assert inner_client.write(question) == len(question)
    assert inner_server.read_exactly(len(question)) == question
    answer = b"answer %d" % number
    assert inner_server.write(answer) == len(answer)
    assert inner_client.read_exactly(len(answer)) == answer
library.report(report)
