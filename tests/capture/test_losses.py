"""A buffer that is too small loses events; each is counted, found as a gap in the numbers, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import program

pytestmark = pytest.mark.bpf

MIB = 1 << 20


@pytest.mark.parametrize("transport", ["ring", "perf"])
@pytest.mark.parametrize("size", ["4K", "64K"])
def test_losses_are_the_gaps(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, transport: str, size: str
) -> None:
    """The size 0 makes the program wait: the last writes come through, and show what went before them."""
    sizes = [str(size) for size in (3 * MIB, 0, 10, 3 * MIB, 0, 10)]
    command = program("write_sizes", certificate, tmp_path / "report", "SSL_write", "1.3", *sizes)
    capture = run_plainwire("--json", "--transport", transport, "--buffer-size", size, "--", *command)
    assert capture.wait() == 0
    missing = sum(event["missing"] for event in capture.events("data"))
    assert missing > 0
    (stats,) = capture.events("stats")
    assert stats["losses"] == {"buffer_full": missing, "gap": missing}
    for reason in ("buffer_full", "gap"):
        assert sum(event["count"] for event in capture.events("loss") if event["reason"] == reason) == missing
    assert any(f"lost {missing:,} events: the buffer was full" in line for line in capture.messages)
    last = {event["direction"]: event for event in capture.events("data")}
    for event in last.values():
        seen = [other for other in capture.events("data") if other["direction"] == event["direction"]]
        assert event["sequence"] + 1 == len(seen) + sum(other["missing"] for other in seen)
