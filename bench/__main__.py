"""`python -m bench [NAME…]`: runs the measurements, each a module with a `main`. Figures: docs/benchmarks.md."""

from __future__ import annotations

import importlib
import os
import sys

from bench.machine import captures_under_way, describe

# In this order, cheap ones first.
MEASUREMENTS = (
    "start",
    "idle",
    "decode",
    "outputs",
    "packet_writer",
    "drain",
    "cost",
    "connections",
    "hellos",
    "keys",
    "go",
    "packets",
    "cpu",
    "nginx",
)
WITHOUT_KERNEL = ("decode", "outputs", "packet_writer")


def main() -> None:
    """Runs what the arguments name."""
    names = sys.argv[1:] or MEASUREMENTS
    for name in names:
        if name not in MEASUREMENTS:
            sys.exit(f"bench: no measurement {name}; there are: {', '.join(MEASUREMENTS)}")
    print(describe())
    for name in names:
        module = importlib.import_module(f"bench.{name}")
        print(f"\n== {name}: {(module.__doc__ or name).splitlines()[0]}", flush=True)
        if os.geteuid() != 0 and name not in WITHOUT_KERNEL:
            print("skipped: needs root, to load eBPF programs")
            continue
        for pid in captures_under_way():
            print(f"warning: process {pid} captures too: its probes are in the baseline, the ratios mean little")
        module.main()


if __name__ == "__main__":
    main()
