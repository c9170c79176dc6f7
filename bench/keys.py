"""What capturing keys alone adds to a call of SSL_write and SSL_read, and to a handshake.

Copies of this machine's libssl, each used by processes of its own, as in bench/cost.py: without probes, with an empty
pair of probes, with the probe at the log function, with the probes that read the structures. The calls go through
connections whose keys were sent at the first one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench.compiled import PROGRAMS, Dialogue, c_program
from bench.cost import Round, measure
from bench.empty_probes import empty_probes
from bench.figures import goal, interleaved, median_ratio
from bench.libraries import system_libssl
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture

ROUNDS = 100
SIZE = 100  # bytes a call: the smaller, the more a probe weighs
HANDSHAKE_ROUNDS, HANDSHAKES = 30, 10
VARIANTS = ("none", "empty", "log", "structure")


def main() -> None:
    """Print a line for each way, then one for the handshakes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = make_certificate(folder)
        executable = c_program("ssl_calls", folder, "ssl", "crypto")
        libssl = system_libssl(executable)
        calls: dict[str, Dialogue] = {}
        handshakes: dict[str, Dialogue] = {}
        for variant in VARIANTS:
            (folder / variant).mkdir()
            library = Path(shutil.copy(libssl, folder / variant / libssl.name))
            if variant == "empty":
                stack.enter_context(empty_probes(library, ["SSL_read", "SSL_write"], folder))
            elif variant != "none":
                options = ["--no-data", "--out", "/dev/null", "--keylog", folder / variant / "keys"]
                stack.enter_context(Capture("--lib", library, "--keys-by", variant, *options))
            environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
            files = (certificate.certificate, certificate.key)
            calls[variant] = Dialogue(executable, *files, env=environment)
            handshakes[variant] = Dialogue(sys.executable, PROGRAMS / "handshakes.py", *files, env=environment)
            stack.callback(calls[variant].close)
            stack.callback(handshakes[variant].close)
        _report_calls(interleaved(ROUNDS, {name: partial(measure, calls[name], SIZE) for name in VARIANTS}))
        _report_handshakes(
            interleaved(
                HANDSHAKE_ROUNDS,
                {name: lambda name=name: float(handshakes[name].ask(HANDSHAKES)[0]) for name in VARIANTS},
            )
        )


def _report_calls(results: dict[str, list[Round]]) -> None:
    times = {name: [(one.write + one.read) / 2 for one in results[name]] for name in VARIANTS}
    for name in VARIANTS:
        print(f"a call of {SIZE} B, {name:9}: {median(times[name]):9,.0f} ns")
    free = median_ratio(times["none"], times["log"])
    print(f"log function: throughput {free:.3f} of none; {goal(free >= 0.98, '≥ 0.98')}")
    pair = median_ratio(times["structure"], times["empty"])
    print(f"structure: {pair:.3f} of an empty pair; {goal(pair <= 1, '≤ 1')}")


def _report_handshakes(results: dict[str, list[float]]) -> None:
    for name in VARIANTS:
        ratio = median_ratio(results[name], results["none"])
        print(f"a handshake, {name:9}: {median(results[name]):11,.0f} ns, {ratio:.3f} of none")


if __name__ == "__main__":
    main()
