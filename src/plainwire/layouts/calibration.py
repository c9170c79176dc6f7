"""Where values stand in the SSL structure, found by their bytes: the library makes handshakes whose truth is known.

The secrets come from the keylog callback, pointers and numbers from the library's getters. A path must lead to the
right bytes at every end of every connection. Where a getter tells the value, it must also change when the bytes at the
path are changed: that tells the field itself from copies of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plainwire.decode.key_schedule import HASHES, Hash

from .calls import Library
from .early_secret import early_secrets, secrets_near
from .handshake import DESCRIPTOR, TLS1_3, End, handshakes
from .layout import MAX_OFFSET, Path
from .memory import ProcessMemory

STRUCTURE_SIZE = 0x2000  # of the SSL structure: larger than any known, and may be read beyond its end
_POINTEE_SIZE = 0x1000
_SMALL_SIZE = 0x100  # struct bio_st, struct ssl_cipher_st
_GET_DESCRIPTOR = 105  # BIO_C_GET_FD of <openssl/bio.h>

_SECRETS = {
    "client_app_traffic_secret": "CLIENT_TRAFFIC_SECRET_0",
    "server_app_traffic_secret": "SERVER_TRAFFIC_SECRET_0",
    "exporter_master_secret": "EXPORTER_SECRET",
}


@dataclass(slots=True)
class Calibration:
    """What was found. by_key_schedule: without using the keylog, from the early secret and what follows from it."""

    paths: dict[str, Path]
    by_key_schedule: dict[str, Path]


def calibrate(library: Library) -> Calibration:
    """Raises CalibrationError when the library can't be made to tell."""
    made = handshakes(library)
    search = _Search(library, made.ends)
    paths: dict[str, Path] = {}

    def keep(name: str, path: Path | None) -> Path | None:
        if path is not None and max(path) <= MAX_OFFSET:
            paths[name] = path
        return paths.get(name)

    keep("version", search.number("SSL_version", lambda end: struct.pack("<H", end.version)))
    rbio = keep("rbio", search.pointer("SSL_get_rbio", lambda end: end.rbio))
    keep("wbio", search.pointer("SSL_get_wbio", lambda end: end.wbio))
    session = keep("session", search.pointer("SSL_get_session", lambda end: end.session))
    cipher = keep("cipher", search.pointer("SSL_get_current_cipher", lambda end: end.cipher, below=session))
    keep("client_random", search.bytes_("SSL_get_client_random", lambda end: end.secrets["client_random"]))
    keep("server", search.role("SSL_is_server"))
    if session is not None:
        for name, path in _in_session(library, search.ends).items():
            keep(name, session + path)
    if cipher is not None:
        number = _common(
            _find(library.memory, end.cipher, struct.pack("<H", end.cipher_id), _SMALL_SIZE) for end in search.ends
        )
        keep("cipher_id", cipher + number if number else None)
    if rbio is not None:
        for name, path in _in_bio(library, made.socket_bio, made.socket_bio_type).items():
            keep(name, rbio + path)
    tls1_3 = [end for end in search.ends if end.version == TLS1_3]
    for name, label in _SECRETS.items():
        if tls1_3 and all(label in end.secrets for end in tls1_3):
            secrets = [(end, end.secrets[label]) for end in tls1_3]
            keep(name, _common(_find(library.memory, end.ssl, secret, STRUCTURE_SIZE) for end, secret in secrets))
    by_key_schedule = _common_secrets(library.memory, tls1_3)
    for name, path in by_key_schedule.items():
        if name in ("early_secret", "handshake_secret", "handshake_traffic_hash"):
            keep(name, path)
    if tls1_3 and not _proved_by_keylog(library.memory, tls1_3, paths):
        paths.pop("handshake_secret", None)
        paths.pop("handshake_traffic_hash", None)
    return Calibration(paths, by_key_schedule)


class _Search:
    """Looks for values in the SSL structures of all ends, and in what they point to."""

    def __init__(self, library: Library, ends: list[End]) -> None:
        self._library = library
        self.ends = ends

    def number(self, getter: str, value: Callable[[End], bytes]) -> Path | None:
        return self._governing(getter, self._candidates(value), b"\x01\x03")

    def role(self, getter: str) -> Path | None:
        """Zeros and ones are everywhere, so only the structure itself is searched, and nothing without the getter."""
        if getter not in self._library:
            return None
        memory = self._library.memory
        found = [_find(memory, end.ssl, struct.pack("<I", end.is_server), STRUCTURE_SIZE) for end in self.ends]
        return self._governing(getter, sorted(set.intersection(*found)), b"\x01\x03")

    def pointer(self, getter: str, value: Callable[[End], int], *, below: Path | None = None) -> Path | None:
        """below: a pointer whose pointee is searched, too, however far from the SSL structure it is."""
        candidates = self._candidates(lambda end: struct.pack("<Q", value(end)))
        if below is not None:
            memory = self._library.memory
            inner = [
                _find(memory, _at(memory, end.ssl, below), struct.pack("<Q", value(end)), _POINTEE_SIZE)
                for end in self.ends
            ]
            candidates += [below + path for path in sorted(set.intersection(*inner))]
        elsewhere = struct.pack("<Q", self._library.place(bytes(_POINTEE_SIZE)))
        return self._governing(getter, candidates, elsewhere)

    def bytes_(self, getter: str, value: Callable[[End], bytes]) -> Path | None:
        candidates = self._candidates(value)
        if getter not in self._library:
            return candidates[0] if candidates else None
        size = len(value(self.ends[0]))
        room = self._library.place(bytes(size))

        def observe(ssl: int) -> bytes:
            self._library.call(getter, ssl, room, size)
            return self._library.memory.read(room, size)

        return self._first_observed(candidates, bytes(range(size)), observe)

    def _candidates(self, value: Callable[[End], bytes]) -> list[Path]:
        """Paths that lead to the value at every end, the shortest and lowest first."""
        common: set[Path] | None = None
        for end in self.ends:
            found = set(_find_through(self._library.memory, end.ssl, value(end)))
            common = found if common is None else common & found
        return sorted(common or (), key=lambda path: (len(path), path))

    def _governing(self, getter: str, candidates: list[Path], other: bytes) -> Path | None:
        def observe(ssl: int) -> bytes:
            return struct.pack("<Q", self._library.call(getter, ssl))[: len(other)]

        return self._first_observed(candidates, other, observe)

    def _first_observed(self, candidates: list[Path], other: bytes, observe: Callable[[int], bytes]) -> Path | None:
        """The first candidate whose change to `other` the getter shows."""
        ssl, memory = self.ends[0].ssl, self._library.memory
        for path in candidates:
            place = memory.follow(ssl, path)
            original = memory.read(place, len(other)) if place is not None else b""
            if place is None or len(original) != len(other):
                continue
            self._library.write(place, other)
            shown = observe(ssl)
            self._library.write(place, original)
            if shown == other:
                return path
        return None


def _find(memory: ProcessMemory, base: int, value: bytes, size: int) -> set[Path]:
    """The offsets at which `value` stands in the `size` bytes at `base`."""
    return {(at,) for at in _occurrences(memory.read(base, size), value)}


def _at(memory: ProcessMemory, base: int, path: Path) -> int:
    """The pointer at the end of a path; 0 where it can't be followed."""
    return int.from_bytes(memory.value(base, path, 8), "little")


def _find_through(memory: ProcessMemory, base: int, value: bytes) -> Iterator[Path]:
    """The places of `value` in the structure at `base` and in what its pointers lead to."""
    structure = memory.read(base, STRUCTURE_SIZE)
    for at in _occurrences(structure, value):
        yield (at,)
    for at, (pointer,) in enumerate(struct.iter_unpack("<Q", structure[: len(structure) & ~7])):
        if pointer and pointer % 8 == 0 and pointer != base:
            for inner in _occurrences(memory.read(pointer, _POINTEE_SIZE), value):
                yield (at * 8, inner)


def _occurrences(data: bytes, value: bytes) -> Iterator[int]:
    """Where `value` stands in `data`, aligned as a number of its size is."""
    alignment = 8 if len(value) == 8 else 2 if len(value) == 2 else 1
    at = data.find(value)
    while at >= 0:
        if at % alignment == 0:
            yield at
        at = data.find(value, at + 1)


def _common(found: Iterator[set[Path]]) -> Path | None:
    """The lowest of the places that all have."""
    sets = list(found)
    return min(set.intersection(*sets), default=None) if sets else None


def _in_session(library: Library, ends: list[End]) -> dict[str, Path]:
    """The master key of TLS 1.2 and its length, from the session's address."""
    known = [(end, end.secrets["CLIENT_RANDOM"]) for end in ends if "CLIENT_RANDOM" in end.secrets]
    key = _common(_find(library.memory, end.session, secret, _POINTEE_SIZE) for end, secret in known)
    if key is None:
        return {}
    found = {"master_key": key}
    # The length is a number of 1 to 8 bytes, before or behind the key; the getter tells which.
    if "SSL_SESSION_get_master_key" in library:
        session = known[0][0].session
        for place in sorted(_find(library.memory, session, bytes([len(known[0][1])]), _POINTEE_SIZE)):
            if place[0] < key[0] or place[0] >= key[0] + len(known[0][1]):
                address = session + place[0]
                library.write(address, b"\x11")
                told = library.call("SSL_SESSION_get_master_key", session, 0, 0)
                library.write(address, bytes([len(known[0][1])]))
                if told & 0xFFFFFFFF == 0x11:
                    found["master_key_length"] = place
                    break
    return found


def _in_bio(library: Library, bio: int, bio_type: int) -> dict[str, Path]:
    """The descriptor, and the method with its type, from a BIO's address."""
    memory = library.memory
    found: dict[str, Path] = {}
    descriptor = min(_find(memory, bio, struct.pack("<I", DESCRIPTOR), _SMALL_SIZE), default=None)
    if descriptor is not None:
        found["bio_fd"] = descriptor
    for at, (pointer,) in enumerate(struct.iter_unpack("<Q", memory.read(bio, _SMALL_SIZE))):
        if pointer and memory.read(pointer, 4) == struct.pack("<I", bio_type):
            found["bio_method"], found["bio_type"] = (at * 8,), (at * 8, 0)
            break
    return found


def _common_secrets(memory: ProcessMemory, ends: list[End]) -> dict[str, Path]:
    """The places of the TLS 1.3 secrets that the key schedule proves, the same at all ends."""
    found = [secrets_in(memory.read(end.ssl, STRUCTURE_SIZE)) for end in ends]
    if not found:
        return {}
    return {name: (at,) for name, at in found[0].items() if all(other.get(name) == at for other in found)}


def secrets_in(structure: bytes) -> dict[str, int]:
    """The places of the TLS 1.3 secrets in an SSL structure, by the early secret and the key schedule."""
    for at, hash_ in early_secrets(structure):
        found = secrets_near(structure, at, hash_)
        if found:
            return found
    return {}


def _proved_by_keylog(memory: ProcessMemory, ends: list[End], paths: dict[str, Path]) -> bool:
    """Whether the handshake secret and the hash at their paths give the traffic secrets of the keylog."""
    secret_path, hash_path = paths.get("handshake_secret"), paths.get("handshake_traffic_hash")
    if secret_path is None or hash_path is None:
        return False
    for end in ends:
        expected = [end.secrets.get(f"{side}_HANDSHAKE_TRAFFIC_SECRET", b"") for side in ("CLIENT", "SERVER")]
        hash_ = _hash_of(len(expected[0]))
        if hash_ is None:
            return False
        secret = memory.value(end.ssl, secret_path, hash_.length)
        messages = memory.value(end.ssl, hash_path, hash_.length)
        if [hash_.expand_label(secret, label, messages) for label in (b"c hs traffic", b"s hs traffic")] != expected:
            return False
    return True


def _hash_of(length: int) -> Hash | None:
    return next((hash_ for hash_ in HASHES if hash_.length == length), None)
