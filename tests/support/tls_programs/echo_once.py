"""One exchange through a libssl of the test's choice, loaded by dlopen() at run time.

usage: echo_once.py CERTIFICATE KEY REPORT LIBSSL
"""

import sys

from libssl import Library

certificate, key, report, path = sys.argv[1:]
library = Library(path)
client, server = library.pair(certificate, key)
client.write(b"the very first call")
assert server.read(100) == b"the very first call"
server.write(b"the answer")
assert client.read(100) == b"the answer"
library.report(report)
