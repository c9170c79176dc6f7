"""Runs the selected tests on the kernel that runs now: on this machine, or in a guest.

usage: python -m tests.vm.run_here MACHINE RESULT    MACHINE: "own" or "emulated"; RESULT: the file to write
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.vm.kernel_image import ROOT
from tests.vm.kernel_results import KernelResult, TestResult, read_junit
from tests.vm.selection import FAMILIES, GROUPS, PREEMPTION, Group


def pytest_command(report: Path, tests: Iterable[str]) -> list[str]:
    """The command that runs tests, without pytest's cache, since a guest can't write the checkout."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--timeout",
        "900",
        f"--junit-xml={report}",
        *tests,
    ]


def run_tests(tests: Iterable[str], hooks: str) -> list[TestResult]:
    """Run tests with `--hooks`."""
    with tempfile.TemporaryDirectory(prefix="plainwire-tests-") as folder:
        report = Path(folder) / "report.xml"
        environment = {**os.environ, "PLAINWIRE_TEST_HOOKS": hooks}
        subprocess.run(pytest_command(report, tests), cwd=ROOT, env=environment, check=False)
        return read_junit(report, hooks)


def run_kernel(machine: str) -> Iterator[KernelResult]:
    """Doctor, the tests that depend on hooks once for each way to attach these here, and the others.

    Gives the result anew after each part: a guest may have to be ended before it is through.
    """
    doctor = subprocess.run(["plainwire", "doctor", "--json"], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    told = json.loads(doctor.stdout)
    result = KernelResult(
        release=platform.release(), machine=machine, features=told["features"], hooks=told["hooks"], tests=[]
    )
    for family in FAMILIES:
        groups = [group for group in GROUPS if _has_way(told["hooks"], group, family)]
        if groups:
            result.tests += run_tests((one for group in groups for one in group.tests), family)
            yield result
    others = (one for group in GROUPS if not group.hooks for one in group.tests if one != PREEMPTION)
    result.tests += run_tests(others, "auto")
    yield result


def _has_way(hooks: list[dict[str, Any]], group: Group, family: str) -> bool:
    """Whether each hook of the group that has ways of this family can be attached so: else a capture is refused."""
    ways = [way for hook in hooks if hook["name"] in group.hooks for way in hook["ways"] if way["family"] == family]
    return bool(ways) and all(way["status"] == "works" for way in ways)


if __name__ == "__main__":
    for so_far in run_kernel(sys.argv[1]):
        Path(sys.argv[2]).write_bytes(msgspec.json.encode(so_far))
