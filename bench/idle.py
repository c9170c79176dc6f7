"""What a capture uses while nothing happens, and how long a single event takes to appear."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.figures import goal, spread
from bench.processor import processor_seconds
from tests.support.certificate import make_certificate
from tests.support.plainwire import COMMAND
from tests.support.servers import python_echo_server

IDLE_SECONDS = 10
EVENTS = 60
MOST_MS = 50


def _latency(client: ssl.SSLSocket, next_line: Callable[[], str], number: int) -> float:
    """Milliseconds from before a write until its line is there. The echo and a rest follow, so that each is alone."""
    start = time.perf_counter()
    client.sendall(b"%d" % number)
    line = next_line()
    milliseconds = (time.perf_counter() - start) * 1000
    assert '"direction":"write"' in line, line
    client.recv(100)
    assert '"direction":"read"' in next_line()
    time.sleep(0.03)
    return milliseconds


def main() -> None:
    """Print the processor time, and the time from SSL_write to the line of JSON that shows it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        with python_echo_server(folder, certificate) as server:
            context = ssl.create_default_context(cafile=str(certificate.certificate))
            raw = socket.create_connection(("127.0.0.1", server.port))
            with context.wrap_socket(raw, server_hostname="localhost") as client:
                command = [str(COMMAND), "capture", "--json", "--pid", str(os.getpid())]
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as capture:
                    assert capture.stderr is not None
                    assert capture.stdout is not None
                    assert capture.stderr.readline().startswith("capturing")
                    before = processor_seconds(capture.pid)
                    time.sleep(IDLE_SECONDS)
                    used = processor_seconds(capture.pid) - before
                    print(f"idle: {used * 1000:.0f} ms of processor time in {IDLE_SECONDS} s")
                    milliseconds = [_latency(client, capture.stdout.readline, number) for number in range(EVENTS)]
                    capture.terminate()
    middle, worst = median(milliseconds), max(milliseconds)
    print(f"single event: {middle:.1f} ms ({spread(milliseconds)}); {goal(worst < MOST_MS, f'each < {MOST_MS} ms')}")


if __name__ == "__main__":
    main()
