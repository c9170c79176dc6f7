from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.records import End, Layout, Samples, Settings
from plainwire.events import LossEvent, SecretEvent, StatsEvent
from tests.decode.test_decoder import decode
from tests.support.samples import keylog_line, master_secret, object_btf

SECRETS = Layout("openssl", object_btf("secrets"))


def test_every_field_of_a_secret() -> None:
    (event,) = decode(SECRETS, Samples([keylog_line()]))
    assert msgspec.to_builtins(event) == {
        "kind": "secret",
        "schema": 1,
        "time": "2023-11-14T22:13:24.000000000Z",
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
        "library": "/usr/lib/libssl.so.3",
        "label": "EXPORTER_SECRET",
        "client_random": bytes(range(32)).hex(),
        "secret": bytes(range(48)).hex(),
        "way": "log function",
    }


def test_rsa_lines_name_the_connection_by_eight_bytes() -> None:
    (event,) = decode(SECRETS, Samples([keylog_line(label=b"RSA", random_len=8)]))
    assert isinstance(event, SecretEvent)
    assert (event.label, event.client_random) == ("RSA", bytes(range(8)).hex())


@pytest.mark.parametrize(
    "fields",
    [
        {"label": b""},
        {"label": b"CLIENT_RANDOM 00"},
        {"label": b"A\n"},
        {"label": b"\x1b[1m"},
        {"random_len": 0},
        {"random_len": 31},
        {"random_len": 33},
        {"label": b"RSA", "random_len": 32},
        {"secret_len": 0},
        {"secret_len": 65},
    ],
)
def test_what_can_be_no_line_is_not_written(fields: dict[str, int | bytes]) -> None:
    (event,) = decode(SECRETS, Samples([keylog_line(**fields)]))
    assert isinstance(event, LossEvent)
    assert event.reason == "malformed"


def test_secrets_of_unwanted_processes_are_left_out() -> None:
    samples = Samples([keylog_line(pid=1), keylog_line(pid=2)])
    (event,) = decode(SECRETS, samples, settings=Settings(userspace_filter=True, pids=(2,)))
    assert isinstance(event, SecretEvent)
    assert event.pid == 2


def secrets_of(**fields: int | bytes) -> dict[str, str]:
    """Label -> secret of a mastersecret_t."""
    events = decode(SECRETS, Samples([master_secret(**fields)]))
    assert all(isinstance(event, SecretEvent) and event.way == "structure" for event in events)
    return {event.label: event.secret for event in events if isinstance(event, SecretEvent)}


def test_master_secret_up_to_tls_1_2() -> None:
    assert secrets_of() == {"CLIENT_RANDOM": bytes(range(48)).hex()}
    assert secrets_of(version=0xFEFD) == {"CLIENT_RANDOM": bytes(range(48)).hex()}  # DTLS 1.2


# The simple 1-RTT handshake of RFC 8448, section 3: its secrets and the hashes of its messages.
RFC_8448 = {
    "version": 0x0304,
    "handshake_secret": "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac",
    "handshake_traffic_hash": "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8",
    "server_finished_hash": "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13",
    "server_finished_key": "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8",
    "exporter_master_secret": "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
}
RFC_8448_SECRETS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
    "CLIENT_TRAFFIC_SECRET_0": "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
    "SERVER_TRAFFIC_SECRET_0": "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    "EXPORTER_SECRET": "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
}


def rfc_8448(**changes: int | bytes) -> dict[str, int | bytes]:
    fields = {name: bytes.fromhex(value).ljust(64, b"\0") if isinstance(value, str) else value
              for name, value in RFC_8448.items()}  # fmt: skip
    return fields | changes


@pytest.mark.parametrize("cipher_id", [0x1301, 0])
def test_secrets_of_tls_1_3_are_derived(cipher_id: int) -> None:
    assert secrets_of(**rfc_8448(cipher_id=cipher_id)) == RFC_8448_SECRETS


@pytest.mark.parametrize(
    "field",
    [
        "handshake_secret",
        "handshake_traffic_hash",
        "server_finished_hash",
        "server_finished_key",
        "exporter_master_secret",
    ],
)
def test_secrets_that_contradict_one_another_are_not_written(field: str) -> None:
    (event,) = decode(SECRETS, Samples([master_secret(**rfc_8448(**{field: bytes(63) + b"x"}))]))
    assert isinstance(event, LossEvent)
    assert event.reason == "contradictory_secrets"


def test_a_master_secret_of_zeros_is_none() -> None:
    (event,) = decode(SECRETS, Samples([master_secret(master_key=bytes(48))]))
    assert isinstance(event, LossEvent)


VERIFY = Settings(verify_keys=True)
KEYLOG_LINE = {"label": b"CLIENT_RANDOM", "secret": bytes(range(48))}


def test_a_secret_is_given_when_both_ways_agree() -> None:
    alone = decode(SECRETS, Samples([keylog_line(**KEYLOG_LINE)]), settings=VERIFY)
    assert alone == []
    both = decode(SECRETS, Samples([keylog_line(**KEYLOG_LINE), master_secret()]), End(1), settings=VERIFY)
    assert [type(event) for event in both] == [SecretEvent, StatsEvent]
    assert isinstance(both[-1], StatsEvent)
    assert (both[-1].secrets, both[-1].secrets_verified) == (1, 1)


def test_a_secret_on_which_they_disagree_is_an_error() -> None:
    samples = [keylog_line(**KEYLOG_LINE | {"secret": bytes(64)}), master_secret(), keylog_line(**KEYLOG_LINE)]
    events = decode(SECRETS, Samples(samples), End(1), settings=VERIFY)
    assert [event.reason for event in events if isinstance(event, LossEvent)] == ["contradictory_secrets"]
    assert not any(isinstance(event, SecretEvent) for event in events)


def test_what_one_way_alone_gives_comes_at_the_end() -> None:
    samples = Samples([keylog_line(label=b"RSA", random_len=8), keylog_line(**KEYLOG_LINE)])
    events = decode(SECRETS, samples, End(1), settings=VERIFY)
    assert [event.label for event in events if isinstance(event, SecretEvent)] == ["RSA", "CLIENT_RANDOM"]
    assert isinstance(events[-1], StatsEvent)
    assert (events[-1].secrets, events[-1].secrets_verified) == (2, 0)


@given(st.sampled_from([b"\7", b"\x08"]), st.binary(max_size=800))
def test_any_bytes(kind: bytes, rest: bytes) -> None:
    for event in decode(SECRETS, Samples([kind + bytes(3) + rest])):
        assert isinstance(event, SecretEvent | LossEvent)
