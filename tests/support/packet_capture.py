"""Packet captures in the test's own process, and traffic for them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plainwire.decode.decoder import Decoder
from plainwire.decode.packets import HELD_NS
from plainwire.decode.records import InterfaceFacts, Layout, Packets
from plainwire.events import PacketEvent
from tests.support.namespaces import Host
from tests.support.plainwire import HOOKS
from tests.support.processes import wait_until

TRAFFIC = str(Path(__file__).with_name("exchange_traffic.py"))
ETHERNET, RAW = 1, 101


class Reader:
    """A packet capture in this process, and what it has given."""

    def __init__(
        self, interface: str, expression: str = "", *, ring: bool = True, snaplen: int = 262144, tcx: bool | None = None
    ) -> None:
        # BPF may be forbidden here, and then this can't be imported.
        from plainwire.kernel.packets import PacketCapture, PacketOptions

        self.capture = PacketCapture(
            PacketOptions((interface,), expression, snaplen, tcx=tcx),
            constants={},
            shared_maps={},
            filter_processes=False,
            buffer_size=32 << 20,
            ring=ring,
            hooks=HOOKS,
        )
        self._decoder = Decoder()
        self._decoder.feed(Layout("tc", self.capture.btf()))
        for attached in self.capture.attach():
            link_type = ETHERNET if attached.has_ethernet_header else RAW
            self._decoder.feed(InterfaceFacts(attached.index, attached.name, link_type))
        self._events: list[PacketEvent] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.capture.close()

    def events(self) -> list[PacketEvent]:
        """Those up to now, all of them: as if their time to be held back had passed."""
        more = True
        while more:
            samples, more = self.capture.buffer.drain(final=True)
            later = time.monotonic_ns() + HELD_NS
            events = self._decoder.feed(Packets(later, samples))
            self._events += [event for event in events if isinstance(event, PacketEvent)]
        return self._events

    def wait_for(self, count: int) -> list[PacketEvent]:
        """At least so many, soon."""
        wait_until(lambda: len(self.events()) >= count, f"{count} packets", 5)
        return self._events


@contextmanager
def server(host: Host, protocol: str, address: str, port: int) -> Iterator[int]:
    """An echo server; its pid."""
    command = host.command(sys.executable, TRAFFIC, "server", protocol, address, str(port))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.kill()


def ask(host: Host, protocol: str, address: str, port: int, size: int = 100, times: int = 1) -> int:
    """Ask an echo server; the pid of the client, which has ended."""
    command = host.command(sys.executable, TRAFFIC, "client", protocol, address, str(port), str(size), str(times))
    process = subprocess.Popen(command)
    assert process.wait(30) == 0
    return process.pid


def ping(host: Host, address: str) -> int:
    process = subprocess.Popen(host.command("ping", "-c", "2", "-i", "0.2", address), stdout=subprocess.DEVNULL)
    assert process.wait(10) == 0
    return process.pid


def without_background(found: list[bytes]) -> list[bytes]:
    """Without what the kernel sends by itself: ARP, and ICMPv6 other than echo (neighbour discovery)."""

    def is_ours(packet: bytes) -> bool:
        icmpv6 = packet[12:14] == b"\x86\xdd" and (
            packet[20] == 0 or (packet[20] == 58 and packet[54] not in (128, 129))
        )
        return packet[12:14] != b"\x08\x06" and not icmpv6

    return [packet for packet in found if is_ours(packet)]
