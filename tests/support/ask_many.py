"""Asks a server of who_answers.py TIMES times, each time from another port; prints port and answer in a line each.

usage: ask_many.py tcp|udp ADDRESS PORT TIMES
"""

from __future__ import annotations

import socket
import sys


def main(protocol: str, address: str, port: str, times: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(int(times)):
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((address, int(port)))
            client.send(b"who?")
            answer = client.recv(100)
            print(client.getsockname()[1], answer.decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
