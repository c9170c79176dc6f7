"""Fixtures and markers that tests of several layers share; each fixture's work is in tests/support/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from tests.support import servers
from tests.support.bpf import why_not_permitted
from tests.support.certificate import Certificate, make_certificate
from tests.support.plainwire import Capture

RunPlainwire = Callable[..., Capture]

# How long one example takes tells of the machine's load, not of the code.
hypothesis.settings.register_profile("plainwire", deadline=None)
hypothesis.settings.load_profile("plainwire")

NO_BPF = "BPF is not permitted here: "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bpf: needs a kernel that lets us load and attach eBPF programs")
    config.addinivalue_line("markers", "vm: boots another kernel under QEMU")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("bpf"):
        reason = why_not_permitted()
        if reason:
            pytest.skip(NO_BPF + reason)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For 127.0.0.1 and localhost, signed by itself."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def nginx(tmp_path: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """nginx with one worker, TLS 1.2 and 1.3; serves what the test puts into `nginx.files`."""
    with servers.nginx(tmp_path / "nginx", certificate) as server:
        yield server


@pytest.fixture
def openssl_server(tmp_path: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """`openssl s_server -WWW`; serves what the test puts into `openssl_server.files`."""
    with servers.openssl_server(tmp_path / "s_server", certificate) as server:
        yield server


@pytest.fixture
def python_echo_server(tmp_path: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """Sends back what it receives, by Python's ssl module."""
    with servers.python_echo_server(tmp_path, certificate) as server:
        yield server


@pytest.fixture
def run_plainwire() -> Iterator[RunPlainwire]:
    """Starts `plainwire capture ARGUMENT…` and returns once it is attached; what still runs at the end is stopped."""
    with ExitStack() as captures:

        def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Capture:
            return captures.enter_context(Capture(*arguments, env=env))

        yield run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """After all that pytest tells, its closing line apart: how much of the suite the kernel did not allow."""
    yield
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_BPF in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"tests skipped because BPF is not permitted here: {len(skipped)}")
