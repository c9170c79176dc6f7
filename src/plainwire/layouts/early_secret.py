"""Finds TLS 1.3's secrets in a memory image by what they prove of each other.

Without a pre-shared key the early secret is a public constant, so it can be searched for in a live structure. The other
secrets stand near it, and the key schedule connects them: the master secret follows from the handshake secret, and a
traffic secret from either of them and a hash of the messages. A set of places for which these equations hold is no
coincidence, whatever the distances are.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainwire.decode.key_schedule import HASHES, Hash

# How far from the early secret the other secrets are searched, in bytes. 0x2c0 in every OpenSSL from 1.1.1 to 3.5.
REACH = 0x400
_ALIGNMENT = 4  # byte arrays that follow an int


def early_secrets(image: bytes) -> Iterator[tuple[int, Hash]]:
    """Where an early secret of a handshake without pre-shared key stands in `image`, and of which hash."""
    for hash_ in HASHES:
        at = image.find(hash_.early_secret)
        while at >= 0:
            yield at, hash_
            at = image.find(hash_.early_secret, at + 1)


def secrets_near(image: bytes, at: int, hash_: Hash) -> dict[str, int]:
    """Where the secrets near an early secret at `at` stand, by the layout's names; {} where nothing is proved.

    Only places for which an equation of the key schedule holds are given.
    """
    places = _filled(image, max(at - REACH, 0), min(at + REACH, len(image)), hash_.length)
    handshake, master = _handshake_and_master(image, places, hash_)
    if handshake is None or master is None:
        return {}
    found = {"early_secret": at, "handshake_secret": handshake}
    window = image[max(at - REACH, 0) : at + REACH]
    origin = max(at - REACH, 0)

    def place_of(secret: bytes) -> int | None:
        position = window.find(secret)
        return origin + position if position >= 0 else None

    def secret_at(place: int) -> bytes:
        return image[place : place + hash_.length]

    for place in places:
        messages = secret_at(place)
        client = place_of(hash_.expand_label(secret_at(master), b"c ap traffic", messages))
        if client is not None:
            server = place_of(hash_.expand_label(secret_at(master), b"s ap traffic", messages))
            exporter = place_of(hash_.expand_label(secret_at(master), b"exp master", messages))
            if server is not None and exporter is not None:
                found["client_app_traffic_secret"] = client
                found["server_app_traffic_secret"] = server
                found["exporter_master_secret"] = exporter
        handshake_traffic = hash_.expand_label(secret_at(handshake), b"c hs traffic", messages)
        if place_of(hash_.finished_key(handshake_traffic)) is not None:
            found["handshake_traffic_hash"] = place
    return found


def _handshake_and_master(image: bytes, places: list[int], hash_: Hash) -> tuple[int | None, int | None]:
    contents = {image[place : place + hash_.length]: place for place in places}
    for secret, place in contents.items():
        master = contents.get(hash_.next_secret(secret))
        if master is not None:
            return place, master
    return None, None


def _filled(image: bytes, start: int, end: int, length: int) -> list[int]:
    """The aligned places that could hold a secret: enough bytes, and not mostly one value."""
    places = range(start + -start % _ALIGNMENT, end - length + 1, _ALIGNMENT)
    return [place for place in places if len(set(image[place : place + length])) > length // 3]
