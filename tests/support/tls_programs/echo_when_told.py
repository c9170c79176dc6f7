"""Loads a libssl, connects, and makes one exchange for each line of standard input, answered by "done".

usage: echo_when_told.py CERTIFICATE KEY REPORT LIBSSL
"""

import sys

from libssl import Library

certificate, key, report, path = sys.argv[1:]
library = Library(path)
client, server = library.pair(certificate, key)
print("ready", flush=True)
for line in sys.stdin:
    client.write(line.encode())
    assert server.read(1000) == line.encode()
    library.report(report)
    print("done", flush=True)
