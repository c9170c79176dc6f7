"""Child processes that tests start: free ports, readiness, and an end in any case."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# How much longer than usual tests wait: other kernels run emulated.
PATIENCE = float(os.environ.get("PLAINWIRE_TEST_PATIENCE", "1"))
LISTEN = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h, as /proc/net/tcp prints it


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Whether some socket listens on `port`; asked of /proc, since a connection would count as the first client."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10) -> None:
    """Asks every 10 ms until the condition holds; AssertionError, naming `what`, when it doesn't within `timeout` s."""
    deadline = time.monotonic() + timeout * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)


@contextmanager
def running(command: Sequence[str | Path], *, port: int, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server; yields once it listens on `port`; ends it by SIGTERM, then SIGKILL.

    What it prints is shown only when it fails to listen.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd)
        try:
            wait_until(lambda: process.poll() is not None or is_listening(port), f"{command[0]} to listen", 30)
            if process.poll() is not None:
                output.seek(0)
                raise AssertionError(f"{command} ended: {output.read().decode(errors='replace')}")
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that may have ended already."""
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def loaded_programs(pid: int | str) -> int:
    """How many eBPF programs a process holds by descriptors of their own."""
    descriptors = Path(f"/proc/{pid}/fdinfo").iterdir()
    return sum("\nprog_id:" in text and "\nlink_type:" not in text for text in map(_text, descriptors))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # closed meanwhile
        return ""
