"""Connections on a kernel that lacks the tracepoints of Linux 6.3: by kprobes, and by fentry.

The machine's own kernel may have neither. `make test-kernels` runs more, on more kernels.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.conftest import VmRun
from tests.vm.kernel_results import read_junit
from tests.vm.run_here import pytest_command

pytestmark = pytest.mark.vm

TESTS = {
    "kprobe": [
        "tests/capture/test_hooks.py::test_curl_names_the_ends_that_plainwire_names[127.0.0.1]",
        "tests/capture/test_connection_events.py::test_opened_and_closed[ipv4]",
    ],
    "fentry": ["tests/capture/test_hooks.py::test_curl_names_the_ends_that_plainwire_names[127.0.0.1]"],
}


@pytest.mark.timeout(2000)
def test_connections_by_kprobes_and_by_fentry(vm_run: VmRun, tmp_path: Path) -> None:
    reports = {hooks: tmp_path / f"{hooks}.xml" for hooks in TESTS}
    commands = [
        ["env", f"PLAINWIRE_TEST_HOOKS={hooks}", *pytest_command(reports[hooks], tests)]
        for hooks, tests in TESTS.items()
    ]
    ran = vm_run("6.1", commands, timeout=800, writable=tmp_path)
    for hooks, one in zip(TESTS, ran, strict=True):
        assert one.status == 0, one.stdout
        assert {test.outcome for test in read_junit(reports[hooks], hooks)} == {"passed"}, one.stdout
