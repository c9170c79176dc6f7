"""An HTTP proxy for one CONNECT request. Prints its port, passes bytes on until both sides have ended, and reports.

usage: connect_proxy.py REPORT

REPORT: of both connections the proxy's own address and the other end's, and how many bytes came from each.
"""

import json
import re
import socket
import sys
import threading
from pathlib import Path

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
request = b""
while b"\r\n\r\n" not in request:
    request += client.recv(65536)
host, port = re.match(rb"CONNECT (\S+):(\d+) ", request).groups()
server = socket.create_connection((host.decode(), int(port)))
names = {name: (end.getsockname(), end.getpeername()) for name, end in (("client", client), ("server", server))}
client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
counts = {"from_client": len(request), "from_server": 0}


def pass_on(source: socket.socket, target: socket.socket, name: str) -> None:
    while data := source.recv(65536):
        counts[name] += len(data)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


back = threading.Thread(target=pass_on, args=(server, client, "from_server"))
back.start()
pass_on(client, server, "from_client")
back.join()
client.close()
server.close()
Path(sys.argv[1]).write_text(json.dumps({**names, **counts}))
