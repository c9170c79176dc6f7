"""Ring buffers as they are read: in mapped memory, and by libbpf. A filter program fills them."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.namespaces import Host, two_hosts

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
    """A ring of 64 KiB: samples lie over its end many times, and in the end it overflows."""
    # BPF may be forbidden here, and then these can't be imported.
    from plainwire.kernel import buffers, mapped_ring, packets

    ring = kind != "PerfBuffer"
    cls = getattr(mapped_ring if kind == "MappedRing" else buffers, kind)
    monkeypatch.setattr(packets, "open_buffer", lambda size, ring: cls(size))
    options = packets.PacketOptions(("lo",), f"udp dst port {PORT}")
    draw = random.Random(1)
    sizes = [draw.randrange(2, 3000) for _ in range(1000)]
    with host.entered():
        capture = packets.PacketCapture(
            options, constants={}, shared_maps={}, filter_processes=False, buffer_size=1 << 16, ring=ring
        )
        capture.attach()
        try:
            found: list[bytes] = []
            for first in range(0, len(sizes), 10):
                send(sizes[first : first + 10])
                time.sleep(0.002 if not ring else 0)
                found += drain(capture.buffer)
            assert [payload_size(sample) for sample in found] == sizes
            send([3000] * 200)
            rest = drain(capture.buffer)
            ((packet_count, lost),) = capture.counters().values()
            assert packet_count == len(sizes) + 200
            assert lost == 200 - len(rest) > 0
            assert {payload_size(sample) for sample in rest} == {3000}
        finally:
            capture.close()


def send(sizes: list[int]) -> None:
    subprocess.run([sys.executable, "-S", "-c", SENDER], input=" ".join(map(str, sizes)), text=True, check=True)


def drain(buffer: object) -> list[bytes]:
    found: list[bytes] = []
    more = True
    while more:
        samples, more = buffer.drain(final=True)  # type: ignore[attr-defined]
        found += samples
    return found


def payload_size(sample: bytes) -> int:
    """What a datagram says of itself, behind the event and the headers of Ethernet, IPv4 and UDP."""
    return int.from_bytes(sample[56 + 42 : 56 + 44])
