"""Buffers of events as they are read: a ring in mapped memory or by libbpf, a perf array. Packets fill them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from plainwire.decode.abi import PACKET, event_kinds
from plainwire.decode.btf import Btf
from tests.support.namespaces import Host, two_hosts

if TYPE_CHECKING:  # BPF may be forbidden here, and then this can't be imported
    from plainwire.kernel.packets import PacketCapture

pytestmark = pytest.mark.bpf
PORT = 8100
SENDER = (
    "import socket, sys\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "for size in map(int, sys.stdin.read().split()):\n"
    f"    s.sendto(size.to_bytes(2) + bytes(max(0, size - 2)), ('127.0.0.1', {PORT}))\n"
)


@pytest.fixture
def host() -> Iterator[Host]:
    with two_hosts() as (one, _):
        yield one


@pytest.mark.parametrize("kind", ["MappedRing", "RingBuffer", "PerfBuffer"])
def test_each_sample_comes_once_in_order_and_what_does_not_fit_is_counted(
    host: Host, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 KiB: samples lie over the end of a ring many times, and at last it overflows."""
    from plainwire.kernel import buffers, mapped_ring, packets

    ring = kind != "PerfBuffer"
    cls = getattr(mapped_ring if kind == "MappedRing" else buffers, kind)
    monkeypatch.setattr(packets, "open_buffer", lambda size, ring: cls(size))
    options = packets.PacketOptions(("lo",), f"udp dst port {PORT}")
    draw = random.Random(1)
    sizes = [draw.randrange(2, 3000) for _ in range(500)]
    with host.entered():
        capture = packets.PacketCapture(
            options, constants={}, shared_maps={}, filter_processes=False, buffer_size=1 << 16, ring=ring
        )
        capture.attach()
        try:
            found: list[bytes] = []
            for first in range(0, len(sizes), 5):  # a perf array's part of a CPU has 32 KiB
                send(sizes[first : first + 5])
                found += packets_in(capture)
            assert [payload_size(sample) for sample in found] == sizes
            send([3000] * 200)
            rest = packets_in(capture)
            ((packet_count, lost),) = capture.counters().values()
            assert packet_count == len(sizes) + 200
            assert lost == 200 - len(rest) > 0
            assert {payload_size(sample) for sample in rest} == {3000}
        finally:
            capture.close()


def send(sizes: list[int]) -> None:
    subprocess.run([sys.executable, "-S", "-c", SENDER], input=" ".join(map(str, sizes)), text=True, check=True)


def packets_in(capture: PacketCapture) -> list[bytes]:
    """What the buffer holds, without the owners of strangers' sockets."""
    kind = event_kinds(Btf(capture.btf()))[PACKET].to_bytes(4, "little")
    found: list[bytes] = []
    more = True
    while more:
        samples, more = capture.buffer.drain(final=True)
        found += [sample for sample in samples if sample[:4] == kind]
    return found


def payload_size(sample: bytes) -> int:
    """What a datagram says of itself, behind the event and the headers of Ethernet, IPv4 and UDP."""
    return int.from_bytes(sample[56 + 42 : 56 + 44])
