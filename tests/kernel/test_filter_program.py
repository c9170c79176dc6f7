"""The kernel's verdict by our program equals libpcap's own, for every expression and packet."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from plainwire.errors import InputError
from plainwire.kernel.filter_program import FilterProgram
from plainwire.kernel.packet_filter import DLT_ETHERNET, DLT_RAW, ClassicInstruction, compile_filter

pytestmark = pytest.mark.bpf

EXPRESSIONS = [
    "",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp port 53",
    "tcp port 443",
    "tcp dst port 443 or tcp src port 8443",
    "host 10.0.0.1",
    "src net 10.0.0.0/8 and not dst host 10.0.0.2",
    "ip6 host 2001:db8::1",
    "net 2001:db8::/32",
    "portrange 100-1000",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip[0] & 0xf != 5",
    "ip[2:2] > 200",
    "greater 120",
    "less 60",
    "icmp[icmptype] = icmp-echo",
    "icmp6",
    "vlan",
    "vlan 5 and tcp port 443",
    "vlan and vlan and ip",
    "vlan or ip",
    "ether host 02:00:00:00:00:01",
    "ether broadcast or multicast",
    "ether[10:4] = 0x00010800",
    "ether[13:1] + ether[14:1] * 2 > 77",
    "ether[ether[0]:2] = 0x0800",
    "ether[ether[0] + 8:4] & 0xff = 5",
    "len / (ip[8] + 1) > 1 or len % 7 = 3",
    "ip[8] << (ip[1] & 63) > 1000",
    "1 << ip[1] = 0 or ip[9] >> ip[1] = 1",
    "-ip[8] = -64",
    "not tcp and not udp",
    "ip proto 47 or ip6 proto 17",
    "ip multicast",
    "(host 10.0.0.1 or host 10.0.0.2) and (port 1 or port 2 or port 443)",
]
RAW_EXPRESSIONS = ["ip", "ip6", "tcp port 443", "host 10.0.0.1 or net 2001:db8::/32", "udp[8:2] = 0", "less 50"]

V4, V6 = IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
HTTPS = TCP(sport=1, dport=443, flags="S")
NETWORK_PACKETS = [
    V4 / HTTPS / b"GET / HTTP/1.1\r\n\r\n",
    V4 / TCP(sport=8443, dport=2, flags="A", options=[("NOP", None)] * 4) / b"GET x",
    IP(src="10.0.0.2", dst="224.0.0.1", options=[IPOption_Router_Alert()]) / UDP(sport=53, dport=53) / bytes(2),
    IP(src="192.0.2.1", dst="10.0.0.1", frag=9) / HTTPS,
    V4 / ICMP() / bytes(200),
    IP(src="10.0.0.1", dst="10.0.0.2", proto=47, tos=5) / bytes(90),
    V6 / HTTPS / b"GET /",
    V6 / UDP(sport=53, dport=500) / bytes(3),
    V6 / IPv6ExtHdrHopByHop() / HTTPS,
    V6 / IPv6ExtHdrFragment(offset=3) / HTTPS,
    V6 / ICMPv6EchoRequest(),
]
PACKETS = [bytes(ETHER / packet) for packet in NETWORK_PACKETS]
PACKETS += [bytes(ETHER / Dot1Q(vlan=5) / packet) for packet in NETWORK_PACKETS]
PACKETS += [bytes(ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=5) / packet) for packet in NETWORK_PACKETS[:3]]
PACKETS += [bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1", pdst="10.0.0.2"))]
PACKETS += [
    bytes(Ether(src=ETHER.src, dst=f"{first:02x}:00:00:00:00:00") / packet)
    for first in (4, 12, 13)
    for packet in NETWORK_PACKETS
]
PACKETS += [bytes(ETHER) + bytes(size) for size in (1, 2, 3, 60)]
RAW_PACKETS = [bytes(packet) for packet in NETWORK_PACKETS]
TAGS = [(0x8100, 5), (0x88A8, 0x6007)]


@st.composite
def damaged(draw: st.DrawFn, packets: list[bytes]) -> bytes:
    """A packet of a real kind with some bytes changed, perhaps cut: lengths and offsets in it may be wrong."""
    packet = bytearray(draw(st.sampled_from(packets)))
    for position in draw(st.lists(st.integers(0, len(packet) - 1), max_size=4)):
        packet[position] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(15, len(packet)))]) if draw(st.booleans()) else bytes(packet)


def variants(packets: list[bytes], count: int) -> Iterator[bytes]:
    """The same many times, without what it costs hypothesis to note down what it does."""
    chance = random.Random(7)
    for _ in range(count):
        packet = bytearray(chance.choice(packets))
        for _ in range(chance.choice((0, 1, 2, 5))):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        yield bytes(packet[: chance.randrange(15, len(packet) + 1)] if chance.random() < 0.3 else packet)


def is_accepted_by_test_run(packet: bytes) -> bool:
    """The kernel's test run takes no packet that ends within the IP header that its type field announces."""
    minimum = {b"\x08\x00": 34, b"\x86\xdd": 54}
    return len(packet) >= minimum.get(packet[12:14], 15)


class Compared:
    """One expression, in libpcap and in the kernel."""

    def __init__(self, expression: str, link_type: int, tag: tuple[int, int] | None = None) -> None:
        # BPF may be forbidden here, and then this can't be imported.
        from tests.support.filter_oracle import LoadedProgram, Oracle, push_tag

        code = FilterProgram(
            compile_filter(expression, link_type), ethernet=link_type == DLT_ETHERNET, outgoing=False
        ).verdict()
        self._expression = expression
        self._tag = struct.pack(">HH", *tag) if tag else b""
        self._oracle = Oracle(expression, link_type)
        self._program = LoadedProgram((push_tag(*tag) if tag else b"") + code)

    def check(self, packet: bytes) -> bool | None:
        if not is_accepted_by_test_run(packet):
            return None
        on_wire = packet[:12] + self._tag + packet[12:] if self._tag else packet
        expected = self._oracle.matches(on_wire)
        assert self._program.run(packet) == expected, (self._expression, on_wire.hex())
        return expected

    def close(self) -> None:
        self._program.close()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_ethernet(expression: str) -> None:
    compared = Compared(expression, DLT_ETHERNET)
    verdicts = {compared.check(packet) for packet in variants(PACKETS, 2000)} - {None}
    assert verdicts == ({True} if expression == "" else {True, False})
    compared.close()


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_ethernet_with_a_tag_that_is_not_in_the_bytes(expression: str, tag: tuple[int, int]) -> None:
    compared = Compared(expression, DLT_ETHERNET, tag)
    for packet in variants(PACKETS, 300):
        if len(packet) >= 16:
            compared.check(packet)
    compared.close()


@pytest.mark.parametrize("expression", RAW_EXPRESSIONS)
def test_interfaces_without_a_link_layer_header(expression: str) -> None:
    compared = Compared(expression, DLT_RAW)
    assert {compared.check(packet) for packet in variants(RAW_PACKETS, 2000)} >= {True, False}
    compared.close()


@pytest.mark.parametrize("expression", EXPRESSIONS[::3])
def test_whatever_bytes_come(expression: str) -> None:
    untagged, tagged = (Compared(expression, DLT_ETHERNET, tag) for tag in (None, TAGS[0]))

    @settings(max_examples=50, database=None, deadline=None)
    @given(damaged(PACKETS) | st.binary(min_size=16, max_size=200))
    def compare(packet: bytes) -> None:
        untagged.check(packet)
        if len(packet) >= 16:
            tagged.check(packet)

    compare()
    untagged.close()
    tagged.close()


@pytest.mark.parametrize(
    ("expression", "outgoing", "expected"),
    [
        ("inbound", False, 1),
        ("inbound", True, 0),
        ("outbound", False, 0),
        ("outbound", True, 1),
    ],
)
def test_direction(expression: str, outgoing: bool, expected: int) -> None:
    from tests.support.filter_oracle import LoadedProgram

    code = FilterProgram(compile_filter(expression, DLT_ETHERNET), ethernet=True, outgoing=outgoing).verdict()
    program = LoadedProgram(code)
    # To this host's own address (packet type 0): the test run takes the loopback interface's, all zeros.
    assert program.run(bytes(Ether(dst="00:00:00:00:00:00") / V4 / HTTPS)) == expected
    program.close()


@pytest.mark.parametrize("expression", ["tcp prot 443", "port nosuchservice", "vlan 5000", "(", "ip6 protochain 6"])
def test_what_cannot_be_filtered_is_said_in_one_line(expression: str) -> None:
    with pytest.raises(InputError, match="the packet filter") as raised:
        FilterProgram(compile_filter(expression, DLT_ETHERNET), ethernet=True, outgoing=True).verdict()
    assert "\n" not in str(raised.value)


def test_the_kernel_takes_long_filters() -> None:
    expression = " or ".join(f"host 10.{number // 256}.{number % 256}.1 and port {number}" for number in range(1, 100))
    compared = Compared(expression, DLT_ETHERNET)
    for packet in variants(PACKETS, 50):
        compared.check(packet)
    compared.close()
    with pytest.raises(InputError, match="too long"):
        FilterProgram([ClassicInstruction(0x28, 0, 0, 12)] * 4096, ethernet=True, outgoing=True).verdict()
