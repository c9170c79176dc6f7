"""Compares the two ways by which secrets are got (`--verify-keys`)."""

from __future__ import annotations

from plainwire.decode.secrets import ContradictionError, Secret

# What the structures give too; other lines can't be compared.
_COMPARABLE = frozenset(
    {
        "CLIENT_RANDOM",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    }
)
_MAX_HELD = 1 << 16

Key = tuple[int, bytes, str]


class SecretCheck:
    """Holds a secret back until the other way has given it too. Bounded: the oldest are let go unconfirmed."""

    def __init__(self) -> None:
        self.confirmed = 0
        self._held: dict[Key, Secret] = {}
        self._settled: dict[Key, bytes | None] = {}  # confirmed ones; None: the ways disagreed

    def add(self, secret: Secret) -> list[Secret]:
        """The secrets that may be written now. Raises ContradictionError where the two ways disagree."""
        if secret.label not in _COMPARABLE:
            return [secret]
        key = (secret.pid, secret.client_random, secret.label)
        if key in self._settled:
            if self._settled[key] not in (None, secret.secret):
                raise ContradictionError(f"two secrets for {secret.label}")
            return []
        other = self._held.get(key)
        if other is None or (other.way == secret.way and other.secret == secret.secret):
            self._held[key] = secret
            return [self._held.pop(next(iter(self._held)))] if len(self._held) > _MAX_HELD else []
        del self._held[key]
        agree = other.secret == secret.secret
        self._settled[key] = secret.secret if agree else None
        while len(self._settled) > _MAX_HELD:
            del self._settled[next(iter(self._settled))]
        if not agree:
            raise ContradictionError(f"the two ways disagree on {secret.label}")
        self.confirmed += 1
        return [other]

    def rest(self) -> list[Secret]:
        """At the end: those that only one way gave."""
        held, self._held = list(self._held.values()), {}
        return held
