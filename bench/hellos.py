"""What looking for ClientHellos adds to the packets of a process that does no TLS.

A program sends and receives 100 bytes over TCP on loopback, and opens and closes connections: without the programs on
the root cgroup, with those of every capture, and with the one that is there while older connections are sought, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.compiled import Dialogue, c_program
from bench.figures import interleaved, median_ratio
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.hooks import KernelHooks
from plainwire.kernel.record_seeker import RECORD_HOOK
from plainwire.modules import KernelHook, all_modules

ROUNDS, LOOPS = 60, 1000
HELLO_HOOK = next(hook for hook in all_modules()["openssl"].kernel_hooks if hook.ways[0].family == "cgroup")


@contextmanager
def _attached(hooks: Sequence[KernelHook]) -> Iterator[None]:
    attached = KernelHooks()
    try:
        for hook in hooks:
            outcome = attached.attach(hook, lambda programs: BpfObject("openssl").load_only(*programs))
            if outcome.way is None:
                raise SystemExit(f"{hook.name}: {outcome.reasons}")
        yield
    finally:
        attached.close()


def main() -> None:
    """Print a line for each loop and variant."""
    variants = {"nothing": (), "hellos": (HELLO_HOOK,), "hellos and records": (HELLO_HOOK, RECORD_HOOK)}
    with tempfile.TemporaryDirectory() as folder:
        program = Dialogue(c_program("system_calls", Path(folder)))

    def loops(hooks: Sequence[KernelHook]) -> list[int]:
        with _attached(hooks):
            return program.ask(LOOPS)

    results = interleaved(ROUNDS, {name: partial(loops, hooks) for name, hooks in variants.items()})
    program.close()
    for index, loop in ((1, "send and receive"), (2, "connection")):
        rows = {name: [row[index] for row in rows] for name, rows in results.items()}
        for name in list(variants)[1:]:
            ratio = median_ratio(rows[name], rows["nothing"])
            print(f"{loop}: {median(rows['nothing']):,.0f} ns, {median(rows[name]):,.0f} ns with {name}: {ratio:.3f}")


if __name__ == "__main__":
    main()
