"""Event classes against the BTF of the built objects."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode import abi
from plainwire.decode.layout import (
    S32,
    S64,
    U16,
    U32,
    U64,
    U128,
    Added,
    Array,
    Chars,
    Payload,
    SampleError,
    Structure,
    compile_layout,
)
from plainwire.errors import AbiMismatchError
from tests.support.samples import pack, parsed_btf, ssl_data


def test_every_field_and_the_payload() -> None:
    layout = compile_layout(abi.SslDataEvent, "ssl_data_event_t", parsed_btf("openssl"))
    event = layout.read(ssl_data(b"abc", fd=-5, sequence=2**63))
    assert (event.fd, event.sequence, event.pid, event.data) == (-5, 2**63, 100, b"abc")
    assert event.comm == b"curl".ljust(16, b"\0")


def test_exec_event() -> None:
    text = b"/usr/bin/curl\0curl\0-s\0"
    sample = pack("processes", "exec_event_t", kind=2, pid=9, filename_len=14, text_len=len(text), text=text)
    event = compile_layout(abi.ExecEvent, "exec_event_t", parsed_btf("processes")).read(sample)
    assert (event.pid, event.text[: event.filename_len], event.text) == (9, b"/usr/bin/curl\0", text)


class Reordered(NamedTuple):
    """Some fields of ssl_data_event_t, not in the object's order."""

    data_len: U32
    pid: U32
    kind: U32
    ssl: U64


def test_the_classs_order_of_fields_is_free() -> None:
    layout = compile_layout(Reordered, "ssl_data_event_t", parsed_btf("openssl"))
    sample = ssl_data(b"", pid=7, ssl=8, data_len=9).ljust(20_000, b"\0")
    assert layout.unpack_from(sample) == (9, 7, 1, 8)
    assert layout.read(sample) == Reordered(9, 7, 1, 8)


class Later(NamedTuple):
    """ssl_data_event_t with fields that no object has yet."""

    kind: U32
    colour: Annotated[U32, Added(7)]
    pid: Annotated[U32, Added(8)]
    shape: Annotated[Chars, Added(b"round")]
    data_len: U32
    data: Annotated[bytes, Payload("data_len")]


def test_fields_that_an_older_object_lacks_have_their_defaults() -> None:
    layout = compile_layout(Later, "ssl_data_event_t", parsed_btf("openssl"))
    sample = ssl_data(b"abc", pid=100)
    assert layout.unpack_from(sample) == (1, 7, 100, b"round", 3)
    assert layout.read(sample) == Later(1, 7, 100, b"round", 3, b"abc")


class Packed(NamedTuple):
    """connect_event_t: 128-bit addresses at odd places."""

    saddr: U128
    sock: U64
    sport: U16
    comm: Chars


def test_wide_integers_are_given_as_bytes() -> None:
    layout = compile_layout(Packed, "connect_event_t", parsed_btf("openssl"))
    sample = pack("openssl", "connect_event_t", saddr=b"\x20\x01".ljust(16, b"\0"), sock=5, sport=443, comm=b"x")
    assert layout.read(sample) == Packed(b"\x20\x01".ljust(16, b"\0"), 5, 443, b"x".ljust(16, b"\0"))


class Missing(NamedTuple):
    """A field that is not there."""

    colour: U32


class TooWide(NamedTuple):
    """A field that is smaller in the object."""

    pid: U64


class Signed(NamedTuple):
    """A field that has a sign in the object alone."""

    fd: U32


class Unsigned(NamedTuple):
    """A field that has a sign in the class alone."""

    sequence: S64


class NoArray(NamedTuple):
    """A number taken for bytes."""

    pid: Chars


class WrongSize(NamedTuple):
    """An array of another size."""

    comm: Annotated[bytes, Array(32)]


class WrongStructure(NamedTuple):
    """Another structure."""

    connection: Annotated[bytes, Structure("ssl_key_t")]


class NoLength(NamedTuple):
    """A payload whose length is not among the fields."""

    data: Annotated[bytes, Payload("data_len")]


class NumberAsPayload(NamedTuple):
    """A payload that is a number."""

    data_len: U32
    fd: Annotated[bytes, Payload("data_len")]


class Behind(NamedTuple):
    """A field behind the payload."""

    fd: S32
    data_len: U32
    comm: Annotated[bytes, Payload("data_len")]
    thread_comm: Chars


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Missing, "struct ssl_data_event_t has no field colour"),
        (TooWide, "struct ssl_data_event_t, field pid: plainwire expects u64, the object has u32"),
        (Signed, "field fd: plainwire expects u32, the object has s32"),
        (Unsigned, "field sequence: plainwire expects s64, the object has u64"),
        (NoArray, "field pid: plainwire expects an array of some bytes, the object has u32"),
        (WrongSize, r"field comm: plainwire expects an array of 32 bytes, the object has char\[16\]"),
        (WrongStructure, "field connection: plainwire expects struct ssl_key_t, the object has connection_t"),
        (NoLength, r"field data: plainwire expects bytes counted by data_len, the object has u8\[16384\]"),
        (NumberAsPayload, "field fd: plainwire expects bytes counted by data_len, the object has s32"),
        (Behind, "fields lie behind its payload"),
    ],
)
def test_disagreement_names_structure_and_field(cls: type[NamedTuple], message: str) -> None:
    with pytest.raises(AbiMismatchError, match=message):
        compile_layout(cls, "ssl_data_event_t", parsed_btf("openssl"))


def test_a_missing_structure_is_named() -> None:
    with pytest.raises(AbiMismatchError, match="struct process_event_t is not in the object's BTF"):
        compile_layout(abi.ProcessEvent, "process_event_t", parsed_btf("openssl"))


@given(st.binary(max_size=400))
def test_any_sample_gives_an_event_or_the_one_error(raw: bytes) -> None:
    layout = compile_layout(abi.SslDataEvent, "ssl_data_event_t", parsed_btf("openssl"))
    try:
        event = layout.read(raw)
    except SampleError:
        return
    assert len(event.data) == event.data_len


def test_loss_reasons_are_in_the_order_of_the_counters() -> None:
    values = parsed_btf("processes").enum("loss_kind")
    assert values
    reasons = abi.loss_reasons(parsed_btf("processes"))
    assert len(reasons) == values["LOSS_KINDS"]
    assert [values[f"LOSS_{reason.upper()}"] for reason in reasons] == list(range(len(reasons)))
