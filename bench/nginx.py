"""Requests a second of nginx under wrk, all captured as JSON, over no capture and over an empty probe pair.

One worker; wrk with one thread and four connections. wrk uses the same libssl, so without --pid its calls are probed
and captured too. The four variants take turns in each round.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench.empty_probes import empty_probes
from bench.figures import goal, interleaved, median_ratio, spread
from bench.libraries import system_libssl
from bench.load import wrk
from bench.summaries import summary
from bench.workers import worker_of
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture
from tests.support.servers import Server, nginx

ROUNDS = 7
SECONDS = 3
BODIES = {"100": 100, "10k": 10 << 10, "1m": 1 << 20}
LOSSLESS = ("100", "10k")
LEAST_OF_EMPTY = 0.92
LEAST_OF_SYSTEM_WIDE = 1.4
FUNCTIONS = ("SSL_read", "SSL_write")


class Variants:
    """The ways in which a body is served; each gives requests a second."""

    def __init__(self, server: Server, folder: Path, output: Path) -> None:
        self._server = server
        self._folder = folder
        self._output = output
        self._worker = worker_of(server)
        self._libssl = system_libssl(Path("/proc") / str(self._worker) / "exe")
        self.summaries: list[str] = []

    def none(self, body: str) -> float:
        """No probes."""
        return wrk(self._server, body, SECONDS)[0]

    def empty(self, body: str) -> float:
        """Empty programs at entry and return of SSL_read and SSL_write."""
        with empty_probes(self._libssl, FUNCTIONS, self._folder):
            return self.none(body)

    def captured(self, body: str, *arguments: str) -> float:
        """All of it as JSON."""
        with Capture("--json", "--out", self._output, *arguments) as capture:
            rate = self.none(body)
        self.summaries.append(f"{' '.join(arguments):12} {summary(capture)}")
        return rate

    def of_worker(self, body: str) -> float:
        """The same of nginx's worker alone."""
        return self.captured(body, "--pid", str(self._worker))


def main() -> None:
    """Print the shares for each body. `python -m bench.nginx FILE` writes the JSON there instead of to /dev/null."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else Path("/dev/null")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with nginx(folder / "nginx", make_certificate(folder)) as server:
            for body, size in BODIES.items():
                (server.files / body).write_bytes(b"<p>All that an ordinary page holds.</p>\n" * (size // 40))
                variants = Variants(server, folder, output)
                ways: tuple[Callable[[str], float], ...] = (
                    variants.none,
                    variants.empty,
                    variants.captured,
                    variants.of_worker,
                )
                rates = interleaved(ROUNDS, {way.__name__: partial(way, body) for way in ways})
                _print_rows(body, rates, variants.summaries)


def _print_rows(body: str, rates: dict[str, list[float]], summaries: list[str]) -> None:
    print(f"body {body}:")
    for way, values in rates.items():
        share = median_ratio(values, rates["none"])
        print(f"  {way:10} {median(values):8,.0f} requests/s ({spread(values)}), {share:.2f} of none")
    of_empty = median_ratio(rates["captured"], rates["empty"])
    print(f"  captured / empty: {of_empty:.2f}; {goal(of_empty >= LEAST_OF_EMPTY, f'≥ {LEAST_OF_EMPTY}')}")
    faster = median_ratio(rates["of_worker"], rates["captured"])
    print(f"  --pid / system-wide: {faster:.2f}; {goal(faster >= LEAST_OF_SYSTEM_WIDE, f'≥ {LEAST_OF_SYSTEM_WIDE}')}")
    losing = [line for line in summaries if "nothing lost" not in line]
    words = f"; {goal(not losing, 'none')}" if body in LOSSLESS else ""
    print(f"  {len(losing)} of {len(summaries)} captures lost events{words}")
    for line in losing or summaries[-2:]:
        print(f"    {line}")


if __name__ == "__main__":
    main()
