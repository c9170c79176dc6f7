"""Packets of unusual shapes on real interfaces: tags, options, extension headers, no Ethernet header at all."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.support.namespaces import Host, two_hosts
from tests.support.packet_capture import RAW, Reader
from tests.support.tcpdump import packets, tcpdump

pytestmark = pytest.mark.bpf

PORT = 8200


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


def address_of(host: Host) -> str:
    """Of veth0's Ethernet."""
    with host.entered():
        printed = subprocess.run(["ip", "-o", "link", "show", "veth0"], capture_output=True, text=True, check=True)
    words = printed.stdout.split()
    return words[words.index("link/ether") + 1]


def send_frame(host: Host, frame: Packet) -> None:
    """Put a frame on the wire as it is."""
    with host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("veth0", 0))
        raw.send(bytes(frame))


@pytest.mark.parametrize("at", [0, 1], ids=["sender", "receiver"])
@pytest.mark.parametrize("tags", [[Dot1Q(vlan=5, prio=3)], [Dot1AD(vlan=7), Dot1Q(vlan=5)]], ids=["VLAN", "QinQ"])
def test_tags_stand_where_they_stand_on_the_wire(
    hosts: tuple[Host, Host], tmp_path: Path, tags: list[Packet], at: int
) -> None:
    """The receiver's kernel takes the outer tag out of the bytes before anybody sees the packet."""
    one, two = hosts
    frame = Ether(src=address_of(one), dst=address_of(two))
    for tag in tags:
        frame /= tag
    frame /= IP(src=one.ipv4, dst=two.ipv4) / UDP(sport=1, dport=PORT) / Raw(b"tagged")
    # libpcap's answer to the filter is compared too: `vlan` must see a tag in either place.
    seen = tmp_path / "seen.pcap"
    with hosts[at].entered(), Reader("veth0", "vlan") as reader, tcpdump(seen, "-i", "veth0", "vlan"):
        send_frame(one, frame)
        (event,) = reader.wait_for(1)
    assert event.data == bytes(frame)
    assert event.length == len(frame)
    assert packets(seen) == [bytes(frame)]


OPTIONS = [IPOption_NOP()] * 8
EXTENSIONS = [
    IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]),
    IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]),
]


@pytest.mark.parametrize("version", [4, 6])
def test_ports_are_found_behind_options_and_extension_headers(hosts: tuple[Host, Host], version: int) -> None:
    """What comes in is its receiver's, though the ports stand further back."""
    one, two = hosts
    network: Packet = IP(src=one.ipv4, dst=two.ipv4, options=OPTIONS)
    family, address = socket.AF_INET, two.ipv4
    if version == 6:
        network = IPv6(src=one.ipv6, dst=two.ipv6)
        for extension in EXTENSIONS:
            network /= extension.copy()
        family, address = socket.AF_INET6, two.ipv6
    frame = Ether(src=address_of(one), dst=address_of(two)) / network / UDP(sport=9, dport=PORT) / Raw(b"far back")
    with two.entered(), Reader("veth0", f"ether[{len(frame) - 8}:4] = 0x66617220") as reader:
        with socket.socket(family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((address, PORT))
            receiver.settimeout(5)
            send_frame(one, frame)
            assert receiver.recv(100) == b"far back"
        (event,) = reader.wait_for(1)
    assert event.data == bytes(frame)
    assert (event.direction, event.pid) == ("in", os.getpid())


@pytest.mark.parametrize("version", [4, 6])
def test_options_of_ones_own_socket(hosts: tuple[Host, Host], version: int) -> None:
    """The kernel itself puts them into TCP's packets."""
    one, two = hosts
    family, address = (socket.AF_INET, two.ipv4) if version == 4 else (socket.AF_INET6, two.ipv6)
    with two.entered():
        server = socket.create_server((address, PORT + 1), family=family)
    with one.entered(), Reader("veth0", f"host {address}") as reader:
        with socket.socket(family, socket.SOCK_STREAM) as client, server:
            if version == 4:
                client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01\x01\x01\x01")
            else:
                client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, b"\0\0\x01\x04" + bytes(4))
            client.connect((address, PORT + 1))
            client.sendall(b"x")
        events = reader.wait_for(6)
    outgoing = [event for event in events if event.direction == "out" and is_tcp(event.data)]
    assert len(outgoing) >= 3
    assert {event.pid for event in outgoing} == {os.getpid()}
    for event in outgoing:
        packet = Ether(event.data)
        assert packet[IP].ihl == 6 if version == 4 else IPv6ExtHdrDestOpt in packet


def is_tcp(packet: bytes) -> bool:
    return TCP in Ether(packet)


TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000  # <linux/if_tun.h>


def test_an_interface_without_ethernet(hosts: tuple[Host, Host]) -> None:
    host = hosts[0]
    with host.entered():
        try:
            tun = os.open("/dev/net/tun", os.O_RDWR)
        except OSError as error:
            pytest.skip(f"this kernel has no tun: {error}")
        try:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun7", IFF_TUN | IFF_NO_PI))
            subprocess.run(["ip", "addr", "add", "10.77.0.1/24", "dev", "tun7"], check=True)
            subprocess.run(["ip", "link", "set", "tun7", "up"], check=True)
            with (
                Reader("tun7", f"udp port {PORT}") as reader,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            ):
                sender.bind(("10.77.0.1", PORT))
                sender.sendto(b"out", ("10.77.0.2", 53))
                incoming = bytes(IP(src="10.77.0.2", dst="10.77.0.1") / UDP(sport=53, dport=PORT) / Raw(b"in"))
                os.write(tun, incoming)
                os.write(tun, bytes(IP(src="10.77.0.2", dst="10.77.0.1") / ICMP()))  # is not wanted
                out, inward = reader.wait_for(2)
                assert len(reader.events()) == 2
        finally:
            os.close(tun)
    assert {out.link_type, inward.link_type} == {RAW}
    assert IP(out.data)[Raw].load == b"out"
    assert inward.data == incoming
    assert (out.direction, out.pid, inward.direction, inward.pid) == ("out", os.getpid(), "in", os.getpid())
