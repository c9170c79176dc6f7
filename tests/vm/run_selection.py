"""`make test-kernels`: runs the selected tests on several kernels, and writes docs/kernels.json and docs/kernels.md.

usage: python -m tests.vm.run_selection [KERNEL…]    KERNEL: 6.1, 6.12 or own; all of them if none is named

Results of kernels that are not named stay as they are. Exit status 1 where a test failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.vm.kernel_image import ROOT, ImageUnavailableError, kernel_image
from tests.vm.kernel_results import KernelResult, TestResult, read_junit, read_results, write_results
from tests.vm.kernels_page import PAGE, make_page
from tests.vm.machine import run_in_machine, why_no_machine
from tests.vm.selection import KERNELS, PREEMPTION

OWN = "own"
# All of a guest's tests: a quarter of an hour on two idle CPUs, and others may use them.
_SECONDS = 3600


def run_own(folder: Path) -> KernelResult:
    """On the kernel of this machine."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command: list[str | Path] = [sys.executable, "-m", "tests.vm.run_here", "own", folder / "result"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True)
    return msgspec.json.decode((folder / "result").read_bytes(), type=KernelResult)


def run_emulated(version: str, folder: Path) -> KernelResult:
    """On one of Debian's kernels."""
    command: list[str | Path] = ["python", "-m", "tests.vm.run_here", "emulated", folder / "result"]
    (ran,) = run_in_machine(kernel_image(version), [command], timeout=_SECONDS, writable=folder)
    print(ran.stdout, ran.stderr, flush=True)
    if ran.status != 0:
        print(f"{version}: ended with {ran.status} before all tests were run", file=sys.stderr)
    result = msgspec.json.decode((folder / "result").read_bytes(), type=KernelResult)
    result.tests += run_preemption(version, folder)
    return result


def run_preemption(version: str, folder: Path) -> list[TestResult]:
    """The test that boots by itself."""
    report = folder / "preemption.xml"
    pytest = [sys.executable, "-m", "pytest", f"--junit-xml={report}", PREEMPTION]
    subprocess.run(pytest, cwd=ROOT, env={**os.environ, "PLAINWIRE_TEST_KERNELS": version}, check=False)
    return read_junit(report, "auto")


def keep(result: KernelResult) -> None:
    """Put a kernel's results in the place of those of its version."""
    version = ".".join(result.release.split(".")[:2]) + "."
    write_results([*(old for old in read_results() if not old.release.startswith(version)), result])
    PAGE.write_text(make_page(read_results()))


def main(versions: Sequence[str]) -> int:
    """The exit status."""
    reason = why_no_machine()
    if reason:
        print(f"no kernel can be booted: {reason}", file=sys.stderr)
        return 1
    failed = 0
    for version in versions or (*KERNELS, OWN):
        with tempfile.TemporaryDirectory(prefix="plainwire-kernels-") as name:
            try:
                result = run_own(Path(name)) if version == OWN else run_emulated(version, Path(name))
            except ImageUnavailableError as error:
                print(f"{version}: {error}", file=sys.stderr)
                failed += 1
                continue
        keep(result)
        not_passed = [test for test in result.tests if test.outcome == "failed"]
        failed += len(not_passed)
        print(f"{result.release}: {len(result.tests)} tests, {len(not_passed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
