"""From the start of `plainwire capture` to its line `capturing`, and the memory that it holds after traffic."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.figures import goal, spread
from bench.load import wrk
from bench.processor import processor_seconds
from tests.support.certificate import make_certificate
from tests.support.plainwire import COMMAND, Capture
from tests.support.servers import nginx

ROUNDS = 11
MOST_SECONDS = 0.5
MOST_MB = 80


# As after `pip install`, or from the second run on: modules are read compiled.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    """Print the time, and the memory with and without the buffer."""
    _start()
    seconds, processor = zip(*(_start() for _ in range(ROUNDS)), strict=True)
    middle = median(seconds)
    print(
        f"start to `capturing`: {middle:.2f} s ({spread(seconds)}), processor time {median(processor):.2f} s;"
        f" {goal(middle < MOST_SECONDS, f'< {MOST_SECONDS} s')}"
    )
    of_help = [_help() for _ in range(ROUNDS)]
    print(f"plainwire --help: {median(of_help):.2f} s ({spread(of_help)})")
    with tempfile.TemporaryDirectory() as name:
        _print_memory(Path(name))


def _start() -> tuple[float, float]:
    """Seconds until it captures, and of processor time."""
    start = time.perf_counter()
    command = [str(COMMAND), "capture", "--out", "/dev/null"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as capture:
        assert capture.stderr is not None
        line = capture.stderr.readline()
        seconds, processor = time.perf_counter() - start, processor_seconds(capture.pid)
        assert line.startswith("capturing"), line
        capture.terminate()
    return seconds, processor


def _help() -> float:
    start = time.perf_counter()
    subprocess.run([COMMAND, "--help"], stdout=subprocess.DEVNULL, check=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def _print_memory(folder: Path) -> None:
    """After some seconds of full traffic, which makes every cache and list as large as it gets."""
    with (
        nginx(folder / "nginx", make_certificate(folder)) as server,
        Capture("--json", "--out", "/dev/null") as capture,
    ):
        (server.files / "10k").write_bytes(b"x" * 10240)
        _, requests = wrk(server, "10k", 5)
        buffer, rest = _resident(capture.pid)
    print(
        f"memory: {rest:.0f} MB after {requests} requests, besides the buffer (mapped {buffer:.0f} MB: a ring is mapped"
        f" twice in a row, so that no event is in two pieces); {goal(rest < MOST_MB, f'< {MOST_MB} MB')}"
    )


def _resident(pid: int) -> tuple[float, float]:
    """Megabytes of a process in memory: of event buffers, and of all else."""
    buffer = rest = 0
    in_buffer = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-", line):
            in_buffer = "bpf-map" in line
        elif line.startswith("Rss:"):
            kilobytes = int(line.split()[1])
            buffer, rest = (buffer + kilobytes, rest) if in_buffer else (buffer, rest + kilobytes)
    return buffer / 1024, rest / 1024


if __name__ == "__main__":
    main()
