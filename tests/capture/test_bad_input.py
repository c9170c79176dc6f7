"""What can't be captured is told in one line with exit status 2, never a traceback, never by waiting for ever."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.compiled import compile_library, functions
from tests.support.plainwire import COMMAND, plainwire

pytestmark = pytest.mark.bpf


def gone_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        return process.pid


def error_of(*arguments: str | Path) -> str:
    finished = plainwire("capture", "--duration", "1", *arguments, timeout=20)
    assert finished.returncode == 2
    assert finished.stdout == ""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    return lines[0].removeprefix("plainwire: ")


def test_no_such_process() -> None:
    pid = gone_pid()
    assert error_of("--pid", str(pid)) == f"no process with pid {pid}"


def test_not_an_elf_file(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so.3"
    path.write_text("no library at all")
    assert error_of("--lib", path).startswith(f"{path}: ")


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so.3"
    os.mkfifo(path)
    assert error_of("--lib", path).startswith(f"{path}: ")


@pytest.mark.parametrize("path", [Path("/"), Path("/dev/zero"), Path("/nowhere/libssl.so.3")])
def test_no_regular_file(path: Path) -> None:
    assert error_of("--lib", path).startswith(f"{path}: ")


def test_a_library_without_the_functions(tmp_path: Path) -> None:
    path = compile_library(tmp_path, source=functions(["other"]))
    message = error_of("--lib", path)
    assert message.startswith(f"{path}: ")
    assert "SSL_write" in message


def test_out_that_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "no folder" / "out"
    assert error_of("--out", path).startswith(f"can't write {path}: No such file or directory")


def test_record_that_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "no folder" / "recording"
    assert str(path) in error_of("--record", path)


def test_unknown_module() -> None:
    message = error_of("--module", "nothing")
    assert "nothing" in message
    assert "openssl" in message


def test_no_permission() -> None:
    """Root without the capability is told which one is missing."""
    drop = "-bpf,-perfmon,-sys_admin"
    finished = subprocess.run(
        ["setpriv", "--bounding-set", drop, "--inh-caps", drop, COMMAND, "capture", "--duration", "1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert "CAP_BPF" in line or "CAP_SYS_ADMIN" in line
