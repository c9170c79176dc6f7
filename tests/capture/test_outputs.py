"""The forms that a capture is written in, and the recording that gives each of them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.plainwire import plainwire
from tests.support.tls_program import program

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("transport", ["ring", "perf"])
@pytest.mark.parametrize("form", ["--json", "--hex", None])
def test_a_recording_gives_what_the_capture_gave(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, form: str | None, transport: str
) -> None:
    options = [form] if form else []
    sizes = ["1", "200", "100000", "0", "5"]
    command = program("write_sizes", certificate, tmp_path / "report", "SSL_write", "1.3", *sizes)
    record, out = tmp_path / "record", tmp_path / "out"
    capture = run_plainwire(*options, "--transport", transport, "--record", record, "--out", out, "--", *command)
    assert capture.wait() == 0
    finished = plainwire("read", *options, record, "--out", tmp_path / "again")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert out.stat().st_size > 4_000
    assert (tmp_path / "again").read_bytes() == out.read_bytes()
    assert finished.stderr == "".join(capture.messages[1:])


@pytest.mark.parametrize("size", ["64K"])
def test_a_recording_with_losses(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, size: str
) -> None:
    command = program("write_sizes", certificate, tmp_path / "report", "SSL_write", "1.3", "3000000", "0", "5")
    record, out = tmp_path / "record", tmp_path / "out"
    capture = run_plainwire("--json", "--buffer-size", size, "--record", record, "--out", out, "--", *command)
    assert capture.wait() == 0
    assert b'"kind":"loss"' in out.read_bytes()
    assert plainwire("read", "--json", record, "--out", tmp_path / "again").returncode == 0
    assert (tmp_path / "again").read_bytes() == out.read_bytes()


def test_text_and_hex_show_the_payload(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    command = program("echo_once", certificate, tmp_path / "report", "libssl.so.3")
    capture = run_plainwire("--", *command)
    assert capture.wait() == 0
    text = "".join(capture.lines)
    assert text.count("the very first call") == text.count("the answer") == 2
    assert "\x1b" not in text
    capture = run_plainwire("--hex", "--", *command)
    assert capture.wait() == 0
    assert "".join(capture.lines).count("74 68 65 20 76 65 72 79") == 2
