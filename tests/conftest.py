"""Fixtures and markers that tests of several layers share; each fixture's work is in tests/support/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bpf import why_not_permitted

NO_BPF = "BPF is not permitted here: "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bpf: needs a kernel that lets us load and attach eBPF programs")
    config.addinivalue_line("markers", "vm: boots another kernel under QEMU")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("bpf"):
        reason = why_not_permitted()
        if reason:
            pytest.skip(NO_BPF + reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """After all that pytest tells, its closing line apart: how much of the suite the kernel did not allow."""
    yield
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_BPF in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"tests skipped because BPF is not permitted here: {len(skipped)}")
