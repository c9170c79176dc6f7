"""Traffic that a test knows: an echo server and a client for TCP or UDP, each a process of its own.

usage: exchange_traffic.py server|client tcp|udp ADDRESS PORT [BYTES [TIMES]]

The server prints a line when it is ready, echoes, and ends with its standard input.
"""

from __future__ import annotations

import socket
import sys
import threading


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve_tcp(address: str, port: int) -> None:
    with socket.create_server((address, port), family=_family(address)) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                while received := connection.recv(65536):
                    connection.sendall(received)


def serve_udp(address: str, port: int) -> None:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((address, port))
        print("ready", flush=True)
        while True:
            received, sender = server.recvfrom(65536)
            server.sendto(received, sender)


def ask_tcp(address: str, port: int, size: int, times: int) -> None:
    for _ in range(times):
        with socket.create_connection((address, port)) as connection:
            threading.Thread(target=connection.sendall, args=(bytes(size),)).start()
            missing = size
            while missing:
                missing -= len(connection.recv(65536))


def ask_udp(address: str, port: int, size: int, times: int) -> None:
    for _ in range(times):
        with socket.socket(_family(address), socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(bytes(size), (address, port))
            client.recv(65536)


def main(role: str, protocol: str, address: str, port: str, size: str = "100", times: str = "1") -> None:
    if role == "client":
        (ask_tcp if protocol == "tcp" else ask_udp)(address, int(port), int(size), int(times))
        return
    serve = serve_tcp if protocol == "tcp" else serve_udp
    threading.Thread(target=serve, args=(address, int(port)), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
