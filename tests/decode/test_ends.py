"""Connections are numbered once, addresses written as people write them, and what is not known has a reason."""

from __future__ import annotations

from ipaddress import IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode import abi
from plainwire.decode.ends import Ends
from plainwire.decode.layout import compile_layout
from plainwire.events import Connection
from tests.support.samples import connection, parsed_btf

AF_INET6, AF_UNIX = 10, 1


def ends() -> Ends:
    made = Ends()
    made.layout = compile_layout(abi.ConnectionFields, "connection_t", parsed_btf("openssl"))
    return made


def test_ipv4() -> None:
    assert ends()[connection()] == (
        Connection(1, "IPv4", "10.0.0.1", 40000, "10.0.0.2", 443, 4026531840, "set_fd"),
        None,
    )


def test_ipv6_and_an_ipv4_address_inside_it() -> None:
    known = ends()
    plain = connection(
        family=AF_INET6, saddr=IPv6Address("2001:db8::1").packed, daddr=IPv6Address("2001:db8::2").packed
    )
    mapped = connection(
        family=AF_INET6, saddr=IPv6Address("::ffff:10.0.0.1").packed, daddr=IPv6Address("::ffff:10.0.0.2").packed
    )
    first, second = known[plain][0], known[mapped][0]
    assert first is not None and (first.family, first.local_address) == ("IPv6", "2001:db8::1")
    assert second is not None and (second.family, second.remote_address) == ("IPv4", "10.0.0.2")


def test_unix_sockets_have_no_addresses() -> None:
    found, note = ends()[connection(family=AF_UNIX)]
    assert note is None
    assert found is not None and (found.family, found.local_address, found.remote_port) == ("unix", None, None)


def test_what_is_not_known_says_why() -> None:
    known = ends()
    assert known[connection(way=0)] == (None, "no socket used yet")
    assert known[connection(way=7)] == (None, "layout not known")
    assert known[connection(way=8)] == (None, "handshake not seen")
    assert known[connection(way=9)] == (None, "socket held by another process")
    assert known[connection(way=99)] == (None, "no socket used yet")  # of a later version
    assert known[connection(way=4)] == (None, "several sockets in one call")


def test_a_number_belongs_to_a_socket_whatever_the_way_it_was_found() -> None:
    known = ends()
    numbers = [
        found.id
        for raw in (connection(way=3), connection(sock=8), connection(way=1), connection(sock=8))
        if (found := known[raw][0]) is not None
    ]
    assert numbers == [1, 2, 1, 2]


@given(st.binary(min_size=64, max_size=64))
def test_no_bytes_crash_it(raw: bytes) -> None:
    found, note = ends()[raw]
    assert (found is None) == (note is not None)
