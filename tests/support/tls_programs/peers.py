"""Clients and a server by Python's blocking ssl module, in one process; each text that is sent is sent once.

usage: peers.py CERTIFICATE KEY REPORT ipv4|ipv6|mapped|unix CONNECTIONS THREADS

REPORT says for each text which address its sender had, and which its receiver. Before its second text a client waits,
if the variable PEERS_WAIT is set, for a line on standard input.
"""

import json
import os
import socket
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

certificate, key, report, family, connections, threads = sys.argv[1:]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE
said: dict[str, tuple[object, object]] = {}
waits = "PEERS_WAIT" in os.environ
served = threading.Semaphore(0)

if family == "unix":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{report}.socket")
    listener.listen(100)
elif family == "ipv4":
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
else:
    listener = socket.create_server(
        ("::1" if family == "ipv6" else "::", 0), family=socket.AF_INET6, dualstack_ipv6=family == "mapped", backlog=100
    )


def connect() -> socket.socket:
    if family == "unix":
        client = socket.socket(socket.AF_UNIX)
        client.connect(listener.getsockname())
        return client
    host = {"ipv4": "127.0.0.1", "mapped": "127.0.0.1", "ipv6": "::1"}[family]
    return socket.create_connection((host, listener.getsockname()[1]))


def say(end: ssl.SSLSocket, text: str) -> None:
    said[text] = (end.getsockname(), end.getpeername())
    end.sendall(text.encode())


def serve() -> None:
    while True:
        plain, _ = listener.accept()
        with server_context.wrap_socket(plain, server_side=True) as end:
            while text := end.recv(1000).decode():
                say(end, text.replace("client", "server"))
        served.release()


def talk(number: int) -> None:
    with client_context.wrap_socket(connect()) as end:
        for turn in range(2):
            if turn and waits:
                print("ready", flush=True)
                sys.stdin.readline()
            say(end, f"client {number}.{turn}")
            assert end.recv(1000).decode() == f"server {number}.{turn}"


for _ in range(int(threads)):
    threading.Thread(target=serve, daemon=True).start()
with ThreadPoolExecutor(int(threads)) as pool:
    list(pool.map(talk, range(int(connections))))
for _ in range(int(connections)):
    served.acquire()  # a call that has not returned is not seen
Path(report).write_text(json.dumps({"pid": os.getpid(), "said": said}))
print("done", flush=True)
os._exit(0)
