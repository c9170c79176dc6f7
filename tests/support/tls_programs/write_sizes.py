"""Writes of the sizes given, each by one call, and what the other end reads of them.

usage: write_sizes.py CERTIFICATE KEY REPORT FUNCTION VERSION SIZE…; a size of 0 waits instead
"""

import random
import sys
import time

from libssl import Library

certificate, key, report, function, version, *sizes = sys.argv[1:]
library = Library()
client, server = library.pair(certificate, key, version=version, room=64 << 20)
for number, size in enumerate(map(int, sizes)):
    if size == 0:
        time.sleep(0.3)
        continue
    data = random.Random(number).randbytes(size)
    assert client.write(data, by=function) == size
    assert server.read_exactly(size) == data
library.report(report)
