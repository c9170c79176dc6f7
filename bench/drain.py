"""How fast userspace takes events out of the ring: decoded only, as text, as JSON, over a C program with libbpf.

A program in the kernel fills the ring with events like those of the OpenSSL module; then a C program drains it, or the
library (`plainwire.Capture`, all that the command does). Both have the same ring, in turn. Rates are those of one
processor: what is counted is the processor time of the one thread that does the work, its share of the kernel included,
so that what else the machine does in the meantime matters little.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import plainwire
from bench.compiled import Dialogue, c_program
from bench.figures import goal, interleaved, median_ratio
from bench.filler import Filler
from plainwire.outputs import FormatName, open_output

ROUNDS = 15
FILL_BYTES = 48 << 20  # of the default buffer's 64 MiB
HEADER_BYTES = 260  # at most, what an event takes in the ring besides its payload
SMALL, LARGE = 100, 16384
SIZES = (SMALL, 1024, LARGE)


def main() -> None:
    """Print a line for each size and way."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Of this process alone: only what the filler sends is to be in the ring.
        capture = stack.enter_context(plainwire.Capture(pids=[os.getpid()]))
        ring = capture.session._engine.data.fd
        filler = stack.enter_context(Filler(ring, folder))
        drain = Dialogue(c_program("drain", folder, "bpf"), str(ring), pass_fds=(ring,))
        stack.callback(drain.close)
        reader = Reader(capture, filler)
        for size in SIZES:
            count = FILL_BYTES // (size + HEADER_BYTES)
            filler.set_payload(size)
            variants: dict[str | None, Callable[[], float]] = {"C": partial(_seconds_in_c, filler, drain, count)}
            variants |= {form: partial(reader.seconds, form, count) for form in FORMS}
            _print_rows(size, count, interleaved(ROUNDS, variants))


FORMS: tuple[FormatName | None, ...] = (None, "text", "json")


class Reader:
    """The library's side."""

    def __init__(self, capture: plainwire.Capture, filler: Filler) -> None:
        self._batches = capture.batches()
        self._filler = filler
        self._first = 0
        self._outputs = {form: open_output(form, Path("/dev/null")) for form in FORMS if form}

    def seconds(self, form: FormatName | None, count: int) -> float:
        """What `count` events took to be decoded and, where a form is named, written to /dev/null."""
        lost = self._filler.fill(count, self._first)
        assert not lost, f"the ring was full for {lost} events"
        self._first += count
        start, left = time.thread_time(), count
        while left > 0:
            events = next(self._batches)
            if form:
                self._outputs[form].write(events)
            left -= len(events)
        seconds = time.thread_time() - start
        assert left == 0, f"{-left} more events than were sent"
        return seconds


def _seconds_in_c(filler: Filler, drain: Dialogue, count: int) -> float:
    lost = filler.fill(count, 0)
    assert not lost, f"the ring was full for {lost} events"
    nanoseconds, _ = drain.ask(count)
    return nanoseconds / 1e9


def _print_rows(size: int, count: int, results: dict[str | None, list[float]]) -> None:
    for form, seconds in results.items():
        rate = count / median(seconds)
        share = median_ratio(results["C"], seconds)
        print(
            f"{size:6} B {form or 'decoded':8} {rate:12,.0f} events/s {rate * size / 1e9:6.2f} GB/s"
            f" {1e6 / rate:7.2f} µs an event, {share:6.1%} of C  {_goal(size, form, rate)}"
        )


def _goal(size: int, form: str | None, rate: float) -> str:
    if size == SMALL and form is None:
        return goal(rate >= 300_000, "≥ 300,000 events/s")
    if size == LARGE and form in (None, "json"):
        least = 0.5 if form else 1.0
        return goal(rate * size >= least * 1e9, f"≥ {least} GB/s")
    return ""


if __name__ == "__main__":
    main()
