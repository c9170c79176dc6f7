"""TCP without TLS: opens connections in the way that SCENARIO names, and reports what each end had.

usage: tcp_connections.py SCENARIO REPORT

REPORT: pid, and for each end its direction (connect or accept), its addresses, the bytes that it sent and received, an
error's name, the process that used it, and when its last descriptor was about to be closed (CLOCK_MONOTONIC, ns).
"""

import errno
import json
import os
import select
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

scenario, report = sys.argv[1:]
ends: list[dict[str, Any]] = []
FAMILIES = {"ipv6": "::1", "mapped": "::ffff:127.0.0.1"}
host = FAMILIES.get(scenario, "127.0.0.1")
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listener = socket.socket(family)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, scenario == "ipv6")
listener.bind(("::" if scenario == "mapped" else host, 0))
listener.listen(100)
port = listener.getsockname()[1]


def receive_all(end: socket.socket) -> int:
    received = 0
    while data := end.recv(65536):
        received += len(data)
    return received


def note(end: socket.socket, direction: str, **fields: Any) -> dict[str, Any]:
    entry = {"direction": direction, "pid": os.getpid(), "fd": end.fileno(), "sent": 0, "received": 0, "error": None}
    entry |= {"local": end.getsockname()[:2], "remote": end.getpeername()[:2], "closed_after": 0, **fields}
    ends.append(entry)
    return entry


def serve() -> None:
    """Answers with one byte less than it got, once the other end has said all."""
    while True:
        end, _ = listener.accept()
        entry = note(end, "accept")
        entry["received"] = receive_all(end)
        if entry["received"]:
            entry["sent"] = entry["received"] - 1
            end.sendall(bytes(entry["sent"]))
        end.close()


def connect() -> socket.socket:
    client = socket.socket(family)
    if scenario == "nonblocking":
        client.setblocking(False)
        assert client.connect_ex((host, port)) == errno.EINPROGRESS
        select.select([], [client], [])
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        client.setblocking(True)
    else:
        client.connect((host, port))
    return client


def talk(client: socket.socket, count: int) -> dict[str, Any]:
    entry = note(client, "connect", sent=count)
    client.sendall(bytes(count))
    client.shutdown(socket.SHUT_WR)
    entry["received"] = receive_all(client)
    return entry


def close_last(entry: dict[str, Any], client: socket.socket) -> None:
    entry["closed_after"] = time.monotonic_ns()
    client.close()


def talk_and_close(number: int) -> None:
    client = connect()
    close_last(talk(client, 1000 + number), client)


def refused() -> None:
    """One by a blocking call, one by one that does not block."""
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    for blocking in (True, False):
        client = socket.socket()
        client.bind(("127.0.0.1", 0))
        client.setblocking(blocking)
        error = client.connect_ex(free.getsockname())
        if error == errno.EINPROGRESS:
            select.select([], [client], [])
            error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        ends.append(
            {
                "direction": "connect",
                "pid": os.getpid(),
                "local": client.getsockname(),
                "remote": free.getsockname(),
                "error": errno.errorcode[error],
            }
        )
        client.close()


def duplicated() -> None:
    first = connect()
    second = first.dup()
    entry = talk(first, 500)
    first.close()
    time.sleep(0.1)
    close_last(entry, second)


def inherited() -> None:
    """A child has the connection too, and closes it last."""
    client = connect()
    entry = talk(client, 500)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(told, 1)
        os._exit(0)
    client.close()
    time.sleep(0.1)
    entry["closed_after"] = time.monotonic_ns()
    os.write(tell, b"x")
    os.waitpid(child, 0)


def handed_over() -> None:
    """One thread connects, another one talks."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        client = one.submit(connect).result()
        entry = other.submit(talk, client, 500).result()
        close_last(entry, client)


def churn() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk_and_close, range(1000)))


def older() -> None:
    """Opened before a line comes on standard input, used after it."""
    client = connect()
    print("ready", flush=True)
    sys.stdin.readline()
    close_last(talk(client, 500), client)


for _ in range(8):
    threading.Thread(target=serve, daemon=True).start()
special = {"refused": refused, "dup": duplicated, "fork": inherited, "threads": handed_over, "churn": churn}
special["older"] = older
special.get(scenario, lambda: talk_and_close(0))()
expected = {"churn": 2000, "refused": 2}.get(scenario, 2)
while len(ends) < expected or any("fd" in end and end["received"] == 0 for end in ends):
    time.sleep(0.01)
time.sleep(0.2)  # the last descriptors of the server are closed
Path(report).write_text(json.dumps({"pid": os.getpid(), "ends": ends}))
