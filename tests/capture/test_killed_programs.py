"""A program that is killed in mid-call leaves nothing behind in the kernel's maps."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import plainwire
from plainwire.kernel.maps import BpfMap
from tests.support.certificate import Certificate
from tests.support.processes import wait_until
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf

THREADS = 40


def map_of(capture: plainwire.Capture, name: str) -> BpfMap:
    """One of the maps of the capture's OpenSSL module."""
    return capture.session._engine._modules["openssl"].get().map(name)


def entries(active: BpfMap, pid: int) -> int:
    """How many calls of a process are under way: the keys are pid and tid."""
    return sum(int.from_bytes(key, "little") >> 32 == pid for key in active.keys())  # noqa: SIM118


def test_argument_maps_do_not_fill_up(certificate: Certificate) -> None:
    command = [sys.executable, PROGRAMS / "blocked_readers.py", certificate.certificate, certificate.key, str(THREADS)]
    with plainwire.Capture() as capture:
        active = map_of(capture, "active_ssl_read_args_map")
        for _ in range(3):
            with subprocess.Popen(command) as process:
                wait_until(lambda: entries(active, process.pid) == THREADS, "the threads to wait", 20)
                process.send_signal(signal.SIGKILL)
            wait_until(lambda: entries(active, process.pid) == 0, "the entries to go", 5)


def test_descriptors_do_not_fill_up(certificate: Certificate, tmp_path: Path) -> None:
    """ssl_st_fd: what SSL_set_fd said is forgotten with the process that said it."""
    command = [sys.executable, PROGRAMS / "blocked_readers.py", certificate.certificate, certificate.key, "2"]
    with plainwire.Capture() as capture:
        descriptors = map_of(capture, "ssl_st_fd")
        active = map_of(capture, "active_ssl_read_args_map")

        def owned(pid: int) -> int:
            values = (descriptors.lookup(key) for key in descriptors.keys())  # noqa: SIM118
            return sum(value is not None and int.from_bytes(value, "little") >> 32 == pid for value in values)

        with subprocess.Popen(command) as process:
            wait_until(lambda: entries(active, process.pid) == 2, "the threads to wait", 20)
            assert owned(process.pid) == 2
            process.kill()
        wait_until(lambda: owned(process.pid) == 0, "the descriptors to go", 5)
