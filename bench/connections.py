"""What following connections adds to a captured call, and to the system calls of a process that does no TLS.

Captured calls: copies of this machine's libssl, each with a process that calls over a TCP connection with itself and a
capture of its own: without connection tracking, and with. System calls: a program without TLS, with the programs that
follow connections and without them; with --connections all, and with a tracepoint of system calls, for comparison.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

from bench.compiled import Dialogue, bpf_object, c_program
from bench.cost import Round, measure
from bench.figures import goal, interleaved, median_ratio
from bench.libraries import system_libssl
from plainwire.kernel.connections import ConnectionTracker, Told, constants
from plainwire.kernel.uprobes import attach_raw_tracepoint
from tests.support.certificate import make_certificate
from tests.support.plainwire import Capture

CALL_ROUNDS = 100
SIZE = 100  # bytes a call: the smaller, the more its other costs weigh
MOST_A_CALL = 1.10
LOOP_ROUNDS, LOOPS = 60, 1000
MOST_A_LOOP = 1.03


def main() -> None:
    """Print a line for each ratio."""
    with tempfile.TemporaryDirectory() as name:
        _captured_calls(Path(name))
        _system_calls(Path(name))


def _captured_calls(folder: Path) -> None:
    certificate = make_certificate(folder)
    executable = c_program("ssl_calls", folder, "ssl", "crypto")
    libssl = system_libssl(executable)
    with ExitStack() as stack:
        programs: dict[str, Dialogue] = {}
        for told in ("none", "captured", "all"):
            (folder / told).mkdir()
            library = Path(shutil.copy(libssl, folder / told / libssl.name))
            stack.enter_context(Capture("--lib", library, "--connections", told, "--out", "/dev/null"))
            environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent)}
            program = Dialogue(executable, certificate.certificate, certificate.key, "tcp", env=environment)
            stack.callback(program.close)
            programs[told] = program
        results = interleaved(CALL_ROUNDS, {told: partial(measure, programs[told], SIZE) for told in programs})
    calls = {told: [_both(each) for each in results[told]] for told in programs}
    for told in ("captured", "all"):
        ratio = median_ratio(calls[told], calls["none"])
        figures = f"{median(calls['none']):,.0f} ns untracked, {median(calls[told]):,.0f} ns with --connections {told}"
        print(f"captured call: {figures}: {ratio:.3f}; {goal(ratio <= MOST_A_CALL, f'≤ {MOST_A_CALL}')}")


def _both(measured: Round) -> float:
    return (measured.write + measured.read) / 2


@contextmanager
def _system_call_tracepoint(folder: Path) -> Iterator[None]:
    """An empty program at the entry of system calls: what the ways that are not taken would cost."""
    with bpf_object("empty", folder) as loaded:
        loaded.load()
        link = attach_raw_tracepoint(loaded.program("empty_tracepoint"), "sys_enter")
        try:
            yield
        finally:
            link.close()


@contextmanager
def _following(told: Told) -> Iterator[None]:
    """The programs of a capture that follow connections, without the rest of it: so rounds can be short."""
    tracker = ConnectionTracker(lambda opened: opened.set_constants(constants(told)), told, "auto")
    try:
        tracker.attach()
        yield
    finally:
        tracker.close()


def _system_calls(folder: Path) -> None:
    program = Dialogue(c_program("system_calls", folder))

    def loops(meanwhile: Callable[[], AbstractContextManager[None]]) -> list[int]:
        with meanwhile():
            return program.ask(LOOPS)

    variants: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "nothing": nullcontext,
        "captured": partial(_following, "captured"),
        "all": partial(_following, "all"),
        "a tracepoint at system calls": partial(_system_call_tracepoint, folder),
    }
    results = interleaved(LOOP_ROUNDS, {name: partial(loops, meanwhile) for name, meanwhile in variants.items()})
    program.close()
    for index, (loop, calls) in enumerate((("getppid", 100), ("send and receive", 1), ("connection", 1))):
        rows = {name: [row[index] / calls for row in rows] for name, rows in results.items()}
        for name in [name for name in variants if name != "nothing"]:
            ratio = median_ratio(rows[name], rows["nothing"])
            wanted = name == "captured" and loop != "connection"
            told = f"; {goal(ratio <= MOST_A_LOOP, f'≤ {MOST_A_LOOP}')}" if wanted else ""
            figures = f"{median(rows['nothing']):,.0f} ns, {median(rows[name]):,.0f} ns with {name}"
            print(f"{loop}: {figures}: {ratio:.3f}{told}")


if __name__ == "__main__":
    main()
