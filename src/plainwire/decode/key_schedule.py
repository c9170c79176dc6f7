"""The TLS 1.3 key schedule (RFC 8446, section 7.1; HKDF: RFC 5869), as far as one secret proves another."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Hash:
    """One of the two hashes of TLS 1.3's cipher suites."""

    name: str  # as hashlib has it

    @cached_property
    def length(self) -> int:
        return hashlib.new(self.name).digest_size

    @cached_property
    def empty(self) -> bytes:
        return hashlib.new(self.name).digest()

    @cached_property
    def early_secret(self) -> bytes:
        """The early secret without a pre-shared key: a constant of the protocol."""
        return self.extract(bytes(self.length), bytes(self.length))

    def extract(self, salt: bytes, key: bytes) -> bytes:
        """HKDF-Extract."""
        return hmac.digest(salt, key, self.name)

    def expand_label(self, secret: bytes, label: bytes, context: bytes) -> bytes:
        """HKDF-Expand-Label for one output block: Derive-Secret, where `context` is the hash of the messages."""
        full = b"tls13 " + label
        info = self.length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
        return hmac.digest(secret, info + b"\x01", self.name)

    def next_secret(self, secret: bytes) -> bytes:
        """The handshake secret's successor, from which the application's secrets come: the master secret."""
        return self.extract(self.expand_label(secret, b"derived", self.empty), bytes(self.length))

    def finished_key(self, traffic_secret: bytes) -> bytes:
        return self.expand_label(traffic_secret, b"finished", b"")


SHA256 = Hash("sha256")
SHA384 = Hash("sha384")
HASHES = (SHA256, SHA384)
