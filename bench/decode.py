"""How fast the decoder alone turns samples into events.

Samples are built from the BTF of the built object, 64 in turn of each direction of 50 connections, in batches as the
reader of a live capture makes them. Events are dropped as soon as they are made.
"""

from __future__ import annotations

import statistics
import time

from plainwire.cli.memory import keep_freed_memory
from plainwire.decode.decoder import Decoder
from plainwire.decode.records import (
    FORMAT,
    AnyRecord,
    Clock,
    Header,
    Layout,
    LibraryFacts,
    ProcessFacts,
    Samples,
    Settings,
)
from tests.support.samples import object_btf, ssl_data

CONNECTIONS = 50
BATCH = 1000
ROUNDS = 51


def prologue() -> list[AnyRecord]:
    """What comes before the samples."""
    return [
        Header(FORMAT, "bench", "x86_64", "6", 0, Settings()),
        Layout("openssl", object_btf("openssl")),
        Clock(1_000_000_000, 1_700_000_000_000_000_000),
        LibraryFacts(7, "openssl", "/usr/lib/x86_64-linux-gnu/libssl.so.3", None),
        ProcessFacts(100, 0, "nginx", "/usr/sbin/nginx", ("nginx", "-g", "daemon off;")),
    ]


def batches(payload: int, total: int) -> list[Samples]:
    """`total` samples of one process, 30 µs apart."""
    data = bytes(range(256)) * (payload // 256 + 1)
    samples = [
        ssl_data(
            data[:payload],
            type=i // 64 % 2,
            timestamp_ns=2_000_000_000 + i * 30_000,
            ssl=0x7F0000001000 + i // 128 % CONNECTIONS * 4096,
            sequence=i // (128 * CONNECTIONS) * 64 + i % 64,
        )
        for i in range(total)
    ]
    return [Samples(samples[i : i + BATCH]) for i in range(0, total, BATCH)]


def measure(payload: int, total: int) -> tuple[float, float]:
    """Seconds an event, in the best round and in the median one."""
    records = batches(payload, total)
    seconds = []
    for _ in range(ROUNDS):
        decoder = Decoder()
        for record in prologue():
            decoder.feed(record)
        count = 0
        start = time.thread_time()
        for batch in records:
            count += len(decoder.feed(batch))
        seconds.append((time.thread_time() - start) / total)
        assert count == total, f"{total} samples gave {count} events"
    return min(seconds), statistics.median(seconds)


def main() -> None:
    """Print a line for each size of payload."""
    keep_freed_memory()
    for payload, total in ((100, 10_000), (1024, 10_000), (16384, 2_000)):
        best, median = measure(payload, total)
        print(
            f"{payload:6} B: median {1 / median:9,.0f} events/s {payload / median / 1e9:5.2f} GB/s"
            f" {median * 1e6:.2f} µs an event, best round {1 / best:9,.0f} events/s {payload / best / 1e9:5.2f} GB/s"
        )


if __name__ == "__main__":
    main()
