"""Two captures at once see the same; the end of one takes nothing from the other. Both transports give the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import Told, captured

pytestmark = pytest.mark.bpf


def test_two_at_once(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as process:
        first = run_plainwire("--json", "--transport", "ring")
        second = run_plainwire("--json", "--transport", "perf", "--pid", str(process.pid))
        both = process.say("both listen")
        second.stop()
        one = process.say("one is left")
        first.stop()
    assert captured(second, process.pid) == both.moved
    assert captured(first, process.pid) == one.moved
