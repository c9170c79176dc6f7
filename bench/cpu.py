"""Userspace's processor time for each captured request, at a steady 500 a second of 10 KiB, as text to /dev/null.

One connection, nginx and a Python client; both ends are captured, or nginx alone (`--pid`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from bench.figures import goal, interleaved, spread
from bench.load import steady
from bench.processor import processor_seconds
from bench.summaries import summary
from bench.workers import worker_of
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture
from tests.support.servers import nginx

ROUNDS = 5
RATE = 500
SECONDS = 6
MOST_MS = 0.15


def main() -> None:
    """Print a line for each way to capture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with nginx(folder / "nginx", make_certificate(folder)) as server:
            (server.files / "10k").write_bytes(b"x" * 10239 + b"\n")
            worker = worker_of(server)

            def measure(*arguments: str) -> float:
                with Capture("--out", "/dev/null", *arguments) as capture:
                    before = processor_seconds(capture.pid)
                    requests = steady(server, "10k", RATE, SECONDS)
                    used = processor_seconds(capture.pid) - before
                print(f"  {requests} requests, {used:.2f} s; {summary(capture)}")
                return used / requests * 1000

            results = interleaved(ROUNDS, {"both ends": measure, "nginx alone": lambda: measure("--pid", str(worker))})
            for way, milliseconds in results.items():
                middle = median(milliseconds)
                print(
                    f"{way:11}: {middle:.3f} ms of processor time a request ({spread(milliseconds)});"
                    f" {goal(middle <= MOST_MS, f'≤ {MOST_MS} ms')}"
                )


if __name__ == "__main__":
    main()
