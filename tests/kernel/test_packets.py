"""What the classifiers capture on real interfaces, compared with what tcpdump saw, and whose it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.namespaces import Host, two_hosts
from tests.support.packet_capture import Reader, ask, ping, server, without_background
from tests.support.tcpdump import filtered, packets, tcpdump

pytestmark = pytest.mark.bpf


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


@pytest.mark.parametrize("ring", [True, False])
@pytest.mark.parametrize(("on", "size"), [("veth0", 300_000), ("lo", 30_000)])
def test_every_packet_once_and_bytes_as_tcpdump_saw_them(
    hosts: tuple[Host, Host], tmp_path: Path, on: str, size: int, ring: bool
) -> None:
    one, two = hosts if on == "veth0" else (hosts[0], hosts[0])
    with one.entered(), Reader(on, ring=ring) as reader, tcpdump(tmp_path / "seen.pcap", "-i", on):
        for address in (two.ipv4, two.ipv6):
            with server(two, "tcp", address, 8000), server(two, "udp", address, 8000):
                ask(one, "tcp", address, 8000, size=size)
                ask(one, "udp", address, 8000, size=1200, times=3)
                ask(one, "udp", address, 8000, size=5000)  # on veth in fragments
            ping(one, address)
        time.sleep(0.5)
        events = reader.events()
        ((_, lost),) = reader.capture.counters().values()
    seen = without_background(packets(tmp_path / "seen.pcap"))
    got = without_background([event.data for event in events])
    assert lost == 0
    if ring:
        assert all(event.length == len(event.data) for event in events)
    else:  # a sample of a perf array ends before 64 KiB: the rest is told
        assert Counter(event.length for event in events if event.data in got) == Counter(map(len, seen))
        seen = [packet[:65000] for packet in seen]
    assert Counter(got) == Counter(seen)
    assert on == "lo" or max(map(len, got)) > 60_000  # left to the card to segment


def carried_by_tcp(found: list[bytes]) -> int:
    """Bytes of both directions of one connection, each counted once however often TCP has sent it."""
    first: dict[bytes, int] = {}
    places: set[tuple[bytes, int]] = set()
    for packet in found:  # Ethernet, IPv4 without options
        port, begin = packet[34:36], 34 + (packet[46] >> 4) * 4
        number = int.from_bytes(packet[38:42])
        first.setdefault(port, number)
        start = (number - first[port]) % (1 << 32)
        places |= {(port, place) for place in range(start, start + len(packet) - begin)}
    return len(places)


def test_packets_larger_than_64_kib_are_whole(hosts: tuple[Host, Host]) -> None:
    host = hosts[0]
    with host.entered(), Reader("lo", "tcp port 8000") as reader:
        with server(host, "tcp", host.ipv4, 8000):
            ask(host, "tcp", host.ipv4, 8000, size=3_000_000)
        time.sleep(0.2)
        events = reader.events()
    assert all(event.length == len(event.data) for event in events)
    assert carried_by_tcp([event.data for event in events]) == 2 * 3_000_000
    assert max(len(event.data) for event in events) > 65_536


@pytest.mark.parametrize("address_of", ["ipv4", "ipv6"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("at", ["client", "server", "lo"])
def test_each_packet_has_its_process(hosts: tuple[Host, Host], protocol: str, at: str, address_of: str) -> None:
    one, two = hosts if at != "lo" else (hosts[0], hosts[0])
    address = getattr(two, address_of)
    with (two if at == "server" else one).entered():
        reader = Reader("lo" if at == "lo" else "veth0", f"{protocol} port 8001")
    with reader, server(two, protocol, address, 8001) as serving:
        asking = ask(one, protocol, address, 8001, size=40_000 if protocol == "tcp" else 1000, times=3)
        time.sleep(0.2)
        events = reader.events()
    assert len(events) >= (6 if protocol == "udp" else 30)
    for event in events:
        transport = 34 if address_of == "ipv4" else 54
        from_server = int.from_bytes(event.data[transport : transport + 2]) == 8001
        expected = {"client": asking, "server": serving, "lo": serving if from_server else asking}[at]
        assert event.pid == expected, event
        assert event.comm == "python3.11" or event.comm is not None


def test_the_server_may_be_older_than_the_capture_and_forked(hosts: tuple[Host, Host]) -> None:
    """A connection is its worker's, also the handshake, which the kernel made before the worker had it."""
    one, two = hosts
    program = (
        "import os,socket\n"
        f"s = socket.create_server(({two.ipv4!r}, 8002))\n"
        "pid = os.fork()\n"
        "print(pid or '', flush=True, end='\\n' if pid else '')\n"
        "if pid: os.wait()\n"
        "while True:\n"
        "    c, _ = s.accept()\n"
        "    c.sendall(c.recv(100)); c.close()\n"
    )
    with subprocess.Popen(two.command(sys.executable, "-c", program), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        try:
            with two.entered(), Reader("veth0", "tcp port 8002") as reader:
                ask(one, "tcp", two.ipv4, 8002)
                time.sleep(0.2)
                assert Counter(event.pid for event in reader.events()) == {worker: len(reader.events())}
                assert len(reader.events()) >= 8
        finally:
            os.kill(worker, signal.SIGKILL)
            process.kill()


def test_ping_and_its_answers_are_the_pings(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    with one.entered(), Reader("veth0", "icmp or icmp6[0] = 128 or icmp6[0] = 129") as reader:
        pids = [ping(one, two.ipv4), ping(one, two.ipv6)]
        events = reader.wait_for(8)
    assert [event.pid for event in events] == [pids[0]] * 4 + [pids[1]] * 4


EXPRESSIONS = [
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ip6",
    "ip",
    "arp or ip6",
    "tcp port 8003",
    "udp dst port 8003",
    "udp src port 8003",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[tcpflags] == tcp-ack",
    "host 10.99.0.2 and udp",
    "src host 10.99.0.1",
    "ip6 dst host fd00:99::2",
    "greater 1000",
    "less 70",
    "ip[6:2] & 0x3fff != 0",
    "icmp[icmptype] = icmp-echoreply",
    "not tcp and not port 8003",
    "portrange 8000-8010 and not ip6",
    "ether multicast",
]


def test_filters_choose_as_tcpdump_does(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    one, two = hosts
    seen = tmp_path / "seen.pcap"
    with ExitStack() as stack:
        stack.enter_context(one.entered())
        readers = {expression: stack.enter_context(Reader("veth0", expression)) for expression in EXPRESSIONS}
        stack.enter_context(tcpdump(seen, "-i", "veth0"))
        for address in (two.ipv4, two.ipv6):
            with server(two, "tcp", address, 8003), server(two, "udp", address, 8003):
                ask(one, "tcp", address, 8003, size=5000)
                ask(one, "udp", address, 8003, size=3000)
            ping(one, address)
        time.sleep(0.5)
        got = {expression: [event.data for event in reader.events()] for expression, reader in readers.items()}
    for expression, found in got.items():
        expected = filtered(seen, expression)
        assert Counter(without_background(found)) == Counter(without_background(expected)), expression
        assert expected or expression == "ether multicast", expression


def test_snaplen_cuts_and_tells_the_length_on_the_wire(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    with one.entered(), Reader("veth0", "udp port 8004", snaplen=60) as reader:
        with server(two, "udp", two.ipv4, 8004):
            ask(one, "udp", two.ipv4, 8004, size=500)
        events = reader.wait_for(2)
    assert [(event.length, len(event.data)) for event in events] == [(542, 60)] * 2


def test_many_connections_cost_no_packet(hosts: tuple[Host, Host]) -> None:
    """More flows than network_map holds."""
    one, two = hosts
    from plainwire.kernel.maps import BpfMap

    with one.entered(), Reader("veth0", "udp dst port 8005", snaplen=60) as reader:
        program = (
            "import socket\n"
            "for first in range(0, 50000, 500):\n"
            "    for number in range(first, first + 500):\n"
            "        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "        s.bind(('', 10000 + number % 50000))\n"
            f"        s.sendto(b'x', ({two.ipv4!r}, 8005)); s.close()\n"
        )
        process = subprocess.Popen(one.command(sys.executable, "-c", program))
        while process.poll() is None:
            reader.events()
            time.sleep(0.005)
        events = reader.wait_for(50_000)
        network_map: BpfMap = reader.capture._object.map("network_map")
        assert sum(1 for _ in network_map.keys()) <= 10_240  # noqa: SIM118  # it is no dict
    assert len(events) == 50_000
    assert {event.pid for event in events} == {process.pid}
