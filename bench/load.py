"""Load on a server: wrk as fast as it can, or a client of our own at a steady rate."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from http.client import HTTPSConnection

from tests.support.servers import Server

# The keys of wrk's summary.
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_REQUESTS = re.compile(r"(\d+) requests in")


def wrk(server: Server, path: str, seconds: float) -> tuple[float, int]:
    """Requests a second, and how many in all: 1 thread, 4 connections."""
    command = ["wrk", "-t1", "-c4", f"-d{seconds:g}", f"{server.url}/{path}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, requests = _RATE.search(printed), _REQUESTS.search(printed)
    assert rate and requests and "Non-2xx" not in printed, printed
    return float(rate[1]), int(requests[1])


def steady(server: Server, path: str, rate: float, seconds: float) -> int:
    """Requests one after the other over one connection, `rate` a second; returns how many were answered."""
    context = ssl._create_unverified_context()
    connection = HTTPSConnection("127.0.0.1", server.port, context=context)
    start, count = time.monotonic(), 0
    while (due := start + count / rate) < start + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request("GET", f"/{path}")
        body = connection.getresponse().read()
        assert body
        count += 1
    connection.close()
    return count
