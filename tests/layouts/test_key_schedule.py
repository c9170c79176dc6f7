"""Against RFC 8448, section 3 ("Simple 1-RTT Handshake"), which shows every secret of a handshake."""

from __future__ import annotations

import hashlib

from plainwire.decode.key_schedule import SHA256, SHA384, Hash
from plainwire.layouts.early_secret import early_secrets, secrets_near

EARLY = bytes.fromhex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
HANDSHAKE = bytes.fromhex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
MASTER = bytes.fromhex("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
DERIVED = bytes.fromhex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")


def test_early_secrets_are_the_published_constants() -> None:
    assert SHA256.early_secret == EARLY
    assert SHA384.early_secret.hex().startswith("7ee8206f5570023e6dc7519eb1073bc4")


def test_secrets_follow_from_each_other_as_in_the_rfc() -> None:
    assert SHA256.next_secret(HANDSHAKE) == MASTER
    assert SHA256.expand_label(EARLY, b"derived", SHA256.empty) == DERIVED


def structure(hash_: Hash, gap: int) -> tuple[bytes, dict[str, int]]:
    """Memory that holds a handshake's secrets, `gap` bytes apart, and where each stands."""

    def digest(text: bytes) -> bytes:
        return hashlib.new(hash_.name, text).digest()

    handshake = digest(b"handshake")
    master = hash_.next_secret(handshake)
    hello, finished = digest(b"hello"), digest(b"finished")
    client_handshake = hash_.expand_label(handshake, b"c hs traffic", hello)
    fields = {
        "early_secret": hash_.early_secret,
        "handshake_secret": handshake,
        "master": master,
        "client_finished": hash_.finished_key(client_handshake),
        "server_finished_hash": finished,
        "handshake_traffic_hash": hello,
        "client_app_traffic_secret": hash_.expand_label(master, b"c ap traffic", finished),
        "server_app_traffic_secret": hash_.expand_label(master, b"s ap traffic", finished),
        "exporter_master_secret": hash_.expand_label(master, b"exp master", finished),
    }
    image, places = b"\x55" * 100, {}
    for name, secret in fields.items():
        places[name] = len(image)
        image += secret.ljust(gap, b"\0")
    return image, places


def test_secrets_are_found_at_any_distance() -> None:
    for hash_ in (SHA256, SHA384):
        for gap in (64, 68, 104):
            image, places = structure(hash_, gap)
            [(at, found_hash)] = early_secrets(image)
            assert (at, found_hash) == (places["early_secret"], hash_)
            found = secrets_near(image, at, hash_)
            assert found == {name: places[name] for name in found}
            assert len(found) == 6


def test_what_the_key_schedule_does_not_prove_is_not_given() -> None:
    image, places = structure(SHA256, 64)
    for name in ("master", "handshake_secret"):
        at = places[name]
        assert secrets_near(image[:at] + b"\x01" + image[at + 1 :], places["early_secret"], SHA256) == {}
    at = places["exporter_master_secret"]
    without = secrets_near(image[:at] + b"\x01" + image[at + 1 :], places["early_secret"], SHA256)
    assert without.keys() == {"early_secret", "handshake_secret", "handshake_traffic_hash"}
