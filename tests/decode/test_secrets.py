from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainwire.decode.records import Layout, Samples, Settings
from plainwire.events import LossEvent, SecretEvent
from tests.decode.test_decoder import decode
from tests.support.samples import keylog_line, object_btf

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


@given(st.binary(max_size=300))
def test_any_bytes(rest: bytes) -> None:
    for event in decode(SECRETS, Samples([b"\x08\0\0\0" + rest])):
        assert isinstance(event, SecretEvent | LossEvent)
