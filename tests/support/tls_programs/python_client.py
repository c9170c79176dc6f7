"""Echo clients by Python's ssl module: each sends bytes of its own and checks what comes back.

usage: python_client.py PORT VERSION CONNECTIONS SIZE; each connection has a thread where there are several
"""

import random
import socket
import ssl
import sys
import threading

port, connections, size = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if sys.argv[2] != "any":
    context.minimum_version = context.maximum_version = ssl.TLSVersion[f"TLSv{sys.argv[2].replace('.', '_')}"]
failures: list[int] = []
together = threading.Barrier(connections)


def talk(number: int) -> None:
    data = random.Random(number).randbytes(size)
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain) as tls,
    ):
        together.wait(60)
        for start in range(0, size, 5000):
            tls.sendall(data[start : start + 5000])
            expected = data[start : start + 5000]
            received = b""
            while len(received) < len(expected):
                received += tls.recv(1000)  # less than a record: most reads find their bytes decrypted already
            if received != expected:
                failures.append(number)


threads = [threading.Thread(target=talk, args=(number,)) for number in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(failures))
