"""tcpdump as a witness: it sees packets through AF_PACKET sockets, another way than ours."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scapy.utils import RawPcapReader

from tests.support.processes import wait_until


@contextmanager
def tcpdump(path: Path, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Writes packets to `path` meanwhile."""
    command = [*prefix, "tcpdump", "-n", "-U", "--immediate-mode", "-B", "65536", "-Z", "root", "-w", str(path)]
    messages = path.with_suffix(".stderr")
    with messages.open("wb") as stderr, subprocess.Popen([*command, *arguments], stderr=stderr) as process:
        try:
            wait_until(lambda: "listening on" in messages.read_text(), "tcpdump to listen", 10)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def packets(path: Path) -> list[bytes]:
    """The packets of a file of tcpdump's."""
    with RawPcapReader(str(path)) as reader:
        return [packet for packet, _ in reader]


def filtered(path: Path, expression: str) -> list[bytes]:
    """Those that match."""
    chosen = path.with_suffix(".chosen")
    command = ["tcpdump", "-n", "-Z", "root", "-r", str(path), "-w", str(chosen), expression]
    subprocess.run(command, check=True, capture_output=True)
    return packets(chosen)
