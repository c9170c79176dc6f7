"""`make test-kernels`: runs the selected tests on several kernels, and writes docs/kernels.json and docs/kernels.md.

usage: python -m tests.vm.run_selection [KERNEL…]    KERNEL: 6.1, 6.12 or own; all of them if none is named

Results of kernels that are not named stay as they are. Exit status 1 where a test failed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.vm.kernel_image import ROOT, ImageUnavailableError, kernel_image
from tests.vm.kernel_results import RESULTS, KernelResult, TestResult, read_junit, read_results, write_results
from tests.vm.kernels_page import PAGE, make_page
from tests.vm.machine import run_in_machine, why_no_machine
from tests.vm.selection import FAMILIES, GROUPS, KERNELS, Group

OWN = "own"
# A guest's pytest; emulated, on a machine that others use too.
_SECONDS = 1800
_PREEMPTION = "tests/vm/test_preemption.py"

# Runs commands and returns the standard output of each.
Run = Callable[[Sequence[Sequence[str | Path]]], list[str]]


def pytest_command(report: Path, hooks: str, tests: Iterable[str]) -> list[str]:
    """The command that runs tests with `--hooks`, without pytest's cache, since a guest can't write the checkout."""
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "900", f"--junit-xml={report}"]
    return ["env", f"PLAINWIRE_TEST_HOOKS={hooks}", *pytest, *tests]


def run_kernel(run: Run, folder: Path, machine: str) -> KernelResult:
    """Doctor, the tests that depend on no hook's way, and the others in each way that some hook has here."""
    release, doctor = run([["uname", "-r"], ["plainwire", "doctor", "--json"]])
    told = json.loads(doctor)
    chosen = {"auto": [test for group in GROUPS if not group.hooks for test in group.tests if test != _PREEMPTION]}
    for family in FAMILIES:
        groups = [group for group in GROUPS if _has_way(told["hooks"], group, family)]
        if groups:
            chosen[family] = [test for group in groups for test in group.tests]
    run([pytest_command(folder / f"{hooks}.xml", hooks, tests) for hooks, tests in chosen.items()])
    tests = [test for hooks in chosen for test in read_junit(folder / f"{hooks}.xml", hooks)]
    return KernelResult(
        release=release.strip(), machine=machine, features=told["features"], hooks=told["hooks"], tests=tests
    )


def _has_way(hooks: list[dict[str, Any]], group: Group, family: str) -> bool:
    ways = [way for hook in hooks if hook["name"] in group.hooks for way in hook["ways"]]
    return any(way["family"] == family and way["status"] == "works" for way in ways)


def on_own(commands: Sequence[Sequence[str | Path]]) -> list[str]:
    """Run commands here."""
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = [subprocess.run(command, cwd=ROOT, env=path, stdout=subprocess.PIPE, check=False) for command in commands]
    return [one.stdout.decode() for one in done]


def run_emulated(version: str, folder: Path) -> KernelResult:
    """All that is run on one of Debian's kernels."""
    image = kernel_image(version)

    def run(commands: Sequence[Sequence[str | Path]]) -> list[str]:
        results = run_in_machine(image, commands, timeout=_SECONDS, writable=folder)
        for result in results:
            print(f"{version}: {' '.join(map(str, result.command))}: exit status {result.status}", result.stderr)
            print(result.stdout[-3000:], flush=True)
        return [result.stdout for result in results]

    return run_kernel(run, folder, "emulated")


def run_preemption(version: str, folder: Path) -> list[TestResult]:
    """The test that boots by itself, since the kernel must be preemptible."""
    report = folder / "preemption.xml"
    pytest = [sys.executable, "-m", "pytest", "--timeout", "1200", f"--junit-xml={report}", _PREEMPTION]
    subprocess.run(pytest, cwd=ROOT, env={**os.environ, "PLAINWIRE_TEST_KERNELS": version}, check=False)
    return read_junit(report, "auto")


def main(versions: Sequence[str]) -> int:
    """The exit status."""
    reason = why_no_machine()
    if reason:
        print(f"no kernel can be booted: {reason}", file=sys.stderr)
        return 1
    results = {result.release: result for result in (read_results() if RESULTS.exists() else [])}
    failed = 0
    for version in versions or (*KERNELS, OWN):
        with tempfile.TemporaryDirectory(prefix="plainwire-kernels-") as name:
            try:
                if version == OWN:
                    result = run_kernel(on_own, Path(name), OWN)
                else:
                    result = run_emulated(version, Path(name))
                    result.tests += run_preemption(version, Path(name))
            except ImageUnavailableError as error:
                print(f"{version}: {error}", file=sys.stderr)
                failed += 1
                continue
        same = ".".join(result.release.split(".")[:2]) + "."
        results = {release: old for release, old in results.items() if not release.startswith(same)}
        results[result.release] = result
        failed += sum(test.outcome == "failed" for test in result.tests)
        write_results(results.values())
        PAGE.write_text(make_page(read_results()))
        print(f"{result.release}: {len(result.tests)} tests, {failed} failed up to now", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if platform.machine() != "x86_64":
        sys.exit("the kernels are for x86_64")
    sys.exit(main(sys.argv[1:]))
