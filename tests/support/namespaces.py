"""Two hosts on one machine: network namespaces joined by a veth pair."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one end of the pair, always called `veth0`, and loopback."""

    name: str
    ipv4: str
    ipv6: str

    def command(self, *arguments: str | Path) -> list[str]:
        """The command that runs another one there."""
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is there meanwhile."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _set_namespace(there)
            yield
        finally:
            _set_namespace(home)
            os.close(home)
            os.close(there)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Up and able to reach each other; gone with all that they hold at the end."""
    hosts = [Host(f"plainwire-{os.getpid()}-{number}", f"10.99.0.{number}", f"fd00:99::{number}") for number in (1, 2)]
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
        one, two = hosts
        _ip("-n", one.name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", two.name)
        for host in hosts:
            _ip("-n", host.name, "link", "set", "lo", "up")
            _ip("-n", host.name, "link", "set", "veth0", "up")
            _ip("-n", host.name, "addr", "add", f"{host.ipv4}/24", "dev", "veth0")
            _ip("-n", host.name, "addr", "add", f"{host.ipv6}/64", "dev", "veth0", "nodad")
        yield one, two
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)
