"""The layout of one build of a TLS library: where in the SSL structure each value stands, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

MAX_STEPS = 4  # what the eBPF programs follow: MAX_LAYOUT_STEPS in bpf/abi.h
MAX_OFFSET = 0xFFFF

Step = Annotated[int, msgspec.Meta(ge=0, le=MAX_OFFSET)]
# Offsets to follow from the SSL structure's address: each but the last leads to a pointer, and the value stands at the
# last. (0x918, 0x50) is the place 0x50 bytes into what the pointer at 0x918 points to.
Path = Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=MAX_STEPS)]

# Every value that a layout can tell, in the order in which it is shown, and how many bytes of it matter (0: as many as
# the cipher's hash has). Version and cipher are numbers of 16 bits on the wire, whatever type holds them.
VALUES = {
    "version": 2,
    "rbio": 8,
    "wbio": 8,
    "bio_fd": 4,
    "bio_method": 8,
    "bio_type": 4,
    "session": 8,
    "master_key": 48,
    "master_key_length": 1,
    "client_random": 32,
    "server": 4,
    "cipher": 8,
    "cipher_id": 2,
    "early_secret": 0,
    "handshake_secret": 0,
    "handshake_traffic_hash": 0,
    "client_app_traffic_secret": 0,
    "server_app_traffic_secret": 0,
    "exporter_master_secret": 0,
}


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one value. `by_way` holds each way's answer; `path` is theirs if they agree, else None."""

    path: Path | None
    by_way: dict[str, Path]

    @property
    def ways(self) -> tuple[str, ...]:
        return tuple(self.by_way)

    @classmethod
    def of(cls, by_way: dict[str, Path]) -> Finding:
        """Where two ways disagree, nothing is to be used."""
        answers = set(by_way.values())
        return cls(answers.pop() if len(answers) == 1 else None, by_way)

    @property
    def agree(self) -> bool:
        return self.path is not None


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one build. `notes` says in words what could not be learned, and why."""

    file: str
    identity: str
    build_id: str | None
    machine: str
    implementation: str
    version: str | None
    values: dict[str, Finding]
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> dict[str, tuple[int, ...]]:
        """The paths that may be used: those on which all ways agree."""
        return {name: finding.path for name, finding in self.values.items() if finding.path is not None}

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in VALUES if name not in self.values)

    @property
    def disagreeing(self) -> tuple[str, ...]:
        return tuple(name for name, finding in self.values.items() if not finding.agree)


def combine(answers: Mapping[str, Mapping[str, tuple[int, ...]]]) -> dict[str, Finding]:
    """Findings from each way's answer: {way: {value: path}}."""
    findings = {}
    for value in VALUES:
        by_way = {way: paths[value] for way, paths in answers.items() if value in paths}
        if by_way:
            findings[value] = Finding.of(by_way)
    return findings
