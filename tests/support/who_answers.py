"""Servers of several processes on one port; each answers a client with its pid.

usage: who_answers.py forked|reuse tcp|udp ADDRESS PORT COUNT

forked: the processes share one socket; reuse: each has one of its own, by SO_REUSEPORT. Prints their pids in a line.
"""

from __future__ import annotations

import os
import socket
import sys
import time


def make_socket(protocol: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((address, port))
    if protocol == "tcp":
        made.listen(64)
    return made


def serve(protocol: str, server: socket.socket) -> None:
    answer = str(os.getpid()).encode()
    while True:
        if protocol == "udp":
            _, client = server.recvfrom(100)
            server.sendto(answer, client)
            continue
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)
            time.sleep(0.005)  # so that another process takes the next one


def main(kind: str, protocol: str, address: str, port: str, count: str) -> None:
    shared = make_socket(protocol, address, int(port)) if kind == "forked" else None
    pids = []
    for _ in range(int(count)):
        pid = os.fork()
        if pid == 0:
            serve(protocol, shared or make_socket(protocol, address, int(port)))
        pids.append(pid)
    time.sleep(0.3)  # each has its socket
    print(*pids, flush=True)
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, 9)


if __name__ == "__main__":
    main(*sys.argv[1:])
