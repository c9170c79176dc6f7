"""What the tests found on each kernel, as docs/kernels.json keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from tests.vm.kernel_image import ROOT
from tests.vm.selection import group_of

RESULTS = ROOT / "docs" / "kernels.json"


class TestResult(msgspec.Struct, kw_only=True):
    """One test, by pytest's name; hooks: what `--hooks` was. reason: unless it passed."""

    test: str
    hooks: str
    outcome: str  # "passed", "failed" or "skipped"
    reason: str | None = None

    __test__ = False  # pytest would take it for a class of tests


class KernelResult(msgspec.Struct, kw_only=True):
    """One kernel. features, hooks: what `plainwire doctor --json` told there."""

    release: str
    machine: str  # "own", or "emulated"
    features: list[dict[str, Any]]
    hooks: list[dict[str, Any]]
    tests: list[TestResult]


def read_results(path: Path = RESULTS) -> list[KernelResult]:
    return msgspec.json.decode(path.read_bytes(), type=list[KernelResult]) if path.exists() else []


def write_results(results: Iterable[KernelResult], path: Path = RESULTS) -> None:
    ordered = sorted(results, key=lambda result: [int(part) for part in result.release.split("-")[0].split(".")[:2]])
    path.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")


def read_junit(report: Path, hooks: str) -> list[TestResult]:
    """The outcomes in a report of `pytest --junit-xml`."""
    results = []
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{(case.get('classname') or '').replace('.', '/')}.py::{case.get('name')}"
        outcome, reason = "passed", None
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                outcome = "skipped" if kind == "skipped" else "failed"
                reason = (found.get("message") or "").splitlines()[0] if found.get("message") else kind
        assert group_of(test), test
        results.append(TestResult(test=test, hooks=hooks, outcome=outcome, reason=reason))
    return results
