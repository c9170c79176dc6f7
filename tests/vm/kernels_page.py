"""Makes docs/kernels.md of docs/kernels.json: `python -m tests.vm.kernels_page`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.vm.kernel_image import ROOT
from tests.vm.kernel_results import KernelResult, TestResult, read_results
from tests.vm.selection import GROUPS, Group, group_of

PAGE = ROOT / "docs" / "kernels.md"
_INTRODUCTION = """# Kernels

What works on which kernel, and was tested there. `make test-kernels` makes this page, and docs/kernels.json that it is
made of: it runs a selection of the tests on Debian's kernels under QEMU, beside the machine's own. Linux 5.15 is not
among them: no package that apt, PyPI or npm reach here carries one with BTF. What other pages say of it is from the
kernel's history.

## Features
"""
_HOOKS = """
## Hooks

A capture attaches to each place in the kernel in the first way that works, and with `--hooks` in another. `plainwire
doctor` shows the same of your kernel. **used**: the way that a capture takes by itself. tested: the tests that depend
on this hook passed when it was attached in this way.
"""
_TESTS = """
## Tests

Passed of run. What depends on a hook ran once for each way to attach it.
"""


def make_page(results: Sequence[KernelResult]) -> str:
    """The page's whole text."""
    parts = (_INTRODUCTION, *_features(results), _HOOKS, *_hooks(results), _TESTS, *_tests(results))
    return "\n".join(parts) + "\n"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _titles(first: Sequence[str], results: Sequence[KernelResult]) -> list[str]:
    return [*first, *(f"{result.release}{', emulated' * (result.machine == 'emulated')}" for result in results)]


def _features(results: Sequence[KernelResult]) -> list[str]:
    names = [feature["name"] for feature in results[0].features]
    told = [{feature["name"]: feature["status"] for feature in result.features} for result in results]
    return _table(_titles(["feature"], results), [[name, *(one.get(name, "") for one in told)] for name in names])


def _hooks(results: Sequence[KernelResult]) -> list[str]:
    rows, notes = [], list[str]()
    for hook in results[-1].hooks:
        for way in hook["ways"]:
            cells = [_way_cell(result, hook["module"], hook["name"], way["family"], notes) for result in results]
            places = ", ".join(f"`{place}`" for place in way["places"])
            rows.append([f"{hook['module']}: {hook['name']}", way["family"], places, *cells])
    table = _table(_titles(["hook", "way", "places"], results), rows)
    return [*table, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]


def _way_cell(result: KernelResult, module: str, name: str, family: str, notes: list[str]) -> str:
    way = _find_way(result, module, name, family)
    if way is None:
        return ""
    if way["status"] != "works":
        reason = str(way["reason"])
        if reason not in notes:
            notes.append(reason)
        return f"refused ({notes.index(reason) + 1})"
    tests = [test for test in result.tests if name in _group(test).hooks and test.hooks == family]
    tested = bool(tests) and all(test.outcome == "passed" for test in tests)
    return ("**used**" if way["used"] else "works") + (", tested" if tested else "")


def _find_way(result: KernelResult, module: str, name: str, family: str) -> dict[str, Any] | None:
    for hook in result.hooks:
        if (hook["module"], hook["name"]) == (module, name):
            for way in hook["ways"]:
                if way["family"] == family:
                    return dict(way)
    return None


def _group(test: TestResult) -> Group:
    group = group_of(test.test)
    assert group, f"{test.test} is no longer selected: make test-kernels"
    return group


def _tests(results: Sequence[KernelResult]) -> list[str]:
    rows = []
    for group in GROUPS:
        for hooks in sorted({test.hooks for result in results for test in result.tests if _group(test) == group}):
            title = group.title + ("" if hooks == "auto" else f", by {hooks}")
            rows.append([title, *(_test_cell(result, group, hooks) for result in results)])
    failed = [
        f"- {result.release}, {test.hooks}: {test.test} {test.outcome}: {test.reason}"
        for result in results
        for test in result.tests
        if test.outcome != "passed"
    ]
    return [*_table(_titles(["tests"], results), rows), *(["", "Not passed:", "", *failed] if failed else [])]


def _test_cell(result: KernelResult, group: Group, hooks: str) -> str:
    tests = [test for test in result.tests if _group(test) == group and test.hooks == hooks]
    passed = sum(test.outcome == "passed" for test in tests)
    return f"{passed} of {len(tests)}" if tests else ""


if __name__ == "__main__":
    PAGE.write_text(make_page(read_results()))
