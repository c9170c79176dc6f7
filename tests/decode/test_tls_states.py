"""What the ends of a connection have agreed on: from samples to events, and the names of ciphers."""

from __future__ import annotations

import subprocess

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.cipher_names import ciphers
from plainwire.decode.records import Settings
from plainwire.events import LossEvent, TlsEvent
from tests.decode.test_connections import decode
from tests.support.samples import pack


def tls_state(**fields: int | bytes) -> bytes:
    """A tls_state_event_t of curl, unless the fields say otherwise."""
    values: dict[str, int | bytes] = {
        "kind": 9,
        "library": 7,
        "timestamp_ns": 5_000_000_000,
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "version": 0x0304,
        "cipher_id": 0x1302,
        "ssl": 0x7F00_0000_1000,
        "comm": b"curl",
    }
    return pack("openssl", "tls_state_event_t", **(values | fields))


def test_every_field() -> None:
    (event,) = decode(tls_state())
    assert msgspec.to_builtins(event) == {
        "kind": "tls",
        "schema": 1,
        "time": "2023-11-14T22:13:25.000000000Z",
        "timestamp_ns": 5_000_000_000,
        "module": "openssl",
        "pid": 100,
        "tid": 101,
        "uid": 1000,
        "comm": "curl",
        "exe": "/usr/bin/curl",
        "cmdline": ["curl", "https://localhost"],
        "container": None,
        "namespace_pid": None,
        "library": None,
        "ssl": 0x7F00_0000_1000,
        "tls_version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
    }


def test_an_unknown_cipher_is_none_and_a_rare_one_is_its_number() -> None:
    unknown, rare = decode(tls_state(cipher_id=0), tls_state(cipher_id=0xFE01))
    assert isinstance(unknown, TlsEvent)
    assert isinstance(rare, TlsEvent)
    assert (unknown.cipher, rare.cipher) == (None, "0xfe01")


def test_unwanted_processes_are_left_out() -> None:
    assert decode(tls_state(), settings=Settings(userspace_filter=True, pids=(2,))) == []


@given(st.binary(max_size=80))
def test_any_bytes(rest: bytes) -> None:
    for event in decode(b"\x09\0\0\0" + rest):
        assert isinstance(event, TlsEvent | LossEvent)


def test_names_are_the_library_s_own() -> None:
    """`openssl ciphers -V` judges: what it names otherwise is wrong, what it would agree on by default is there."""

    def told(*selection: str) -> dict[int, str]:
        listed = subprocess.run(["openssl", "ciphers", "-V", *selection], capture_output=True, text=True, check=True)
        found = {}
        for line in listed.stdout.splitlines():
            number, _, name, *_ = line.split()
            high, low = number.split(",")
            found[int(high, 16) << 8 | int(low, 16)] = name
        return found

    names = ciphers()
    every = told("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    assert {number: name for number, name in names.items() if number in every and name != every[number]} == {}
    assert {number: name for number, name in told("DEFAULT:!SRP").items() if names[number] != name} == {}
