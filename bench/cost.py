"""What capture adds to a call of SSL_write and SSL_read, over an empty probe at entry and return.

Three copies of this machine's libssl, each used by a process of its own that calls over memory BIOs: one without
probes, one with empty ones, one captured (`plainwire capture --lib`, text to /dev/null). They take turns, with a rest
in which the capture catches up, so that no event is dropped: a dropped one would be cheaper.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.compiled import Dialogue, c_program
from bench.empty_probes import empty_probes
from bench.figures import goal, interleaved, median_ratio
from bench.libraries import system_libssl
from bench.summaries import summary
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture

ROUNDS = 150
CALLS = 200  # of each function in a round: at 16 KiB less than a tenth of the default buffer
REST_S = 0.02
VARIANTS = ("none", "empty", "captured")
GOALS = {100: 1.12, 16384: 1.32}


@dataclass(frozen=True, slots=True)
class Round:
    """Nanoseconds a call: the median and the mean of a round's calls."""

    write: int
    read: int
    write_mean: int
    read_mean: int


def measure(program: Dialogue, size: int) -> Round:
    measured = Round(*program.ask(size, CALLS))
    time.sleep(REST_S)
    return measured


def main() -> None:
    """Print a line for each size and function."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = make_certificate(folder)
        executable = c_program("ssl_calls", folder, "ssl", "crypto")
        libssl = system_libssl(executable)
        programs: dict[str, Dialogue] = {}
        for variant in VARIANTS:
            (folder / variant).mkdir()
            library = Path(shutil.copy(libssl, folder / variant / libssl.name))
            if variant == "empty":
                stack.enter_context(empty_probes(library, ["SSL_read", "SSL_write"], folder))
            elif variant == "captured":
                capture = stack.enter_context(Capture("--lib", library, "--out", "/dev/null"))
            environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
            program = Dialogue(executable, certificate.certificate, certificate.key, env=environment)
            stack.callback(program.close)
            programs[variant] = program
        for size, most in GOALS.items():
            variants = {name: partial(measure, programs[name], size) for name in VARIANTS}
            results = interleaved(ROUNDS, variants)
            for function, read in _FUNCTIONS.items():
                _print_row(f"{size:6} B {function:10}", {name: [read(r) for r in results[name]] for name in VARIANTS})
            both = {name: [_both(r) for r in results[name]] for name in VARIANTS}
            ratio = median_ratio(both["captured"], both["empty"])
            means = {name: [(r.write_mean + r.read_mean) / 2 for r in results[name]] for name in VARIANTS}
            in_means = median_ratio(means["captured"], means["empty"])
            print(f"{size:6} B both: {ratio:.3f} ({in_means:.3f} in means); {goal(ratio <= most, f'≤ {most}')}")
        capture.stop()
        print(f"plainwire: {summary(capture)}")


def _both(measured: Round) -> float:
    return (measured.write + measured.read) / 2


_FUNCTIONS: dict[str, Callable[[Round], float]] = {"SSL_write": lambda r: r.write, "SSL_read": lambda r: r.read}


def _print_row(name: str, results: dict[str, list[float]]) -> None:
    none, empty, captured = (median(results[variant]) for variant in VARIANTS)
    ratio = median_ratio(results["captured"], results["empty"])
    added = (captured - none) / (empty - none)
    print(
        f"{name}: none {none:7,.0f} ns, empty pair {empty:7,.0f} ns, captured {captured:7,.0f} ns: {ratio:.3f} of the"
        f" empty pair (what is added to none: {added:.2f} times)"
    )


if __name__ == "__main__":
    main()
