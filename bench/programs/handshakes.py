"""Makes TLS 1.3 handshakes with itself over memory BIOs: `python handshakes.py CERTIFICATE KEY`.

For each number on stdin it makes so many and prints the median time of one, in nanoseconds.
"""

from __future__ import annotations

import ssl
import statistics
import sys
import time

server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(sys.argv[1], sys.argv[2])
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE


def handshake() -> int:
    """Nanoseconds of one, on both ends."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    started = time.perf_counter_ns()
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)
    return time.perf_counter_ns() - started


for line in sys.stdin:
    print(int(statistics.median(handshake() for _ in range(int(line)))), flush=True)
