"""How fast events become text, JSON and hex dumps.

The events are those of 50 connections in turn, in batches as the reader of a live capture makes them, written to
/dev/null as the command writes to a file.
"""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

from plainwire.events import DataEvent
from plainwire.outputs import FormatName, open_output
from tests.support.events import data_event

CONNECTIONS = 50
BATCH = 1000
ROUNDS = 5
BYTES_A_ROUND = 100_000_000
EVENTS_A_ROUND = 50_000

HTTP = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
HTML = b'<p class="note">All that an ordinary page holds, line by line.</p>\n'
CHINESE = "他们在说什么，一行接一行。\n".encode()
GZIP_HEAD = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"

PAYLOADS = {
    "HTTP head, 100 B": (HTTP * 2)[:100],
    "HTML, 1 KiB": (HTML * 20)[:1024],
    "HTML, 16 KiB": (HTML * 300)[:16384],
    "Chinese, 16 KiB": (CHINESE * 500)[:16384],
    "head and gzip, 16 KiB": GZIP_HEAD + random.Random(1).randbytes(16384 - len(GZIP_HEAD)),
}
FORMATS: tuple[FormatName, ...] = ("text", "json", "hex")


def events(data: bytes) -> list[DataEvent]:
    """A batch. Every event has a copy of `data`, as the decoder makes one, so that caches see the true traffic."""
    return [
        data_event(
            bytes(bytearray(data)),
            ssl=0x7F0000001000 + i % CONNECTIONS * 4096,
            fd=5 + i % CONNECTIONS,
            direction=("read", "write")[i // CONNECTIONS % 2],
            sequence=i,
        )
        for i in range(BATCH)
    ]


def seconds_an_event(form: FormatName, batch: list[DataEvent]) -> float:
    """The median of the rounds."""
    batches = max(1, min(BYTES_A_ROUND // len(batch[0].data), EVENTS_A_ROUND) // BATCH)
    output = open_output(form, Path("/dev/null"))
    seconds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(batches):
            output.write(batch)
        seconds.append((time.thread_time() - start) / (batches * BATCH))
    output.close()
    return statistics.median(seconds)


def main() -> None:
    """Print a line for each format and payload."""
    for name, data in PAYLOADS.items():
        batch = events(data)
        for form in FORMATS:
            seconds = seconds_an_event(form, batch)
            print(
                f"{form:5} {name:22} {1 / seconds:10,.0f} events/s {len(data) / seconds / 1e6:8,.0f} MB/s"
                f" {seconds * 1e6:7.2f} µs an event"
            )


if __name__ == "__main__":
    main()
