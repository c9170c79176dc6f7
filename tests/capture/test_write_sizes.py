"""Writes from one byte to more than is captured of one call."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.streams import streams
from tests.support.tls_program import capture_program, captured

pytestmark = pytest.mark.bpf

KIB, MIB = 1 << 10, 1 << 20
SIZES = (1, 100, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 1 * MIB, 5 * MIB, 1)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("function", ["SSL_write", "SSL_write_ex"])
def test_every_byte_at_both_ends(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, function: str, version: str
) -> None:
    done, events = capture_program(
        run_plainwire, "write_sizes", certificate, tmp_path, function, version, *map(str, SIZES)
    )
    assert captured(events, done.pid) == done.moved
    written = next(stream for stream in streams(events) if stream.direction == "write")
    assert tuple(written.calls) == SIZES
    assert [event for event in events if event["kind"] == "loss"] == []
    assert events[-1]["losses"] == {}


def test_beyond_16_mib_is_counted_and_marked(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    size = 17 * MIB
    done, events = capture_program(
        run_plainwire, "write_sizes", certificate, tmp_path, "SSL_write", "1.3", str(size), "5"
    )
    written = [event for event in events if event["kind"] == "data" and event["direction"] == "write"]
    *big, small = written
    (expected,) = (data for (_, direction), data in done.moved.items() if direction == "write")
    assert b"".join(base64.b64decode(event["data"]) for event in big) == expected[: 16 * MIB]
    assert all(event["truncated"] and event["call_length"] == size for event in big)
    assert [event["offset"] for event in big] == list(range(0, 16 * MIB, 16 * KIB))
    assert (small["truncated"], small["sequence"], small["missing"]) == (False, len(big), 0)
    assert base64.b64decode(small["data"]) == expected[size:]
    assert events[-1]["losses"] == {"truncated_bytes": size - 16 * MIB}
    assert [event["count"] for event in events if event["kind"] == "loss"] == [size - 16 * MIB]
