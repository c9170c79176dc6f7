"""Finds the TLS 1.3 secrets' places in a running process, where the library can't be made to handshake with itself.

In the process's memory the constant early secret of TLS 1.3 is searched for. The SSL structure around it is where a TLS
version, a BIO with a type and a cipher of TLS 1.3 stand at the places that the getters told.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from plainwire.errors import InputError

from .calibration import STRUCTURE_SIZE, secrets_in
from .early_secret import early_secrets
from .handshake import TLS1_3
from .layout import Path as ValuePath
from .memory import ProcessMemory

_CHUNK = 1 << 20
_SECONDS = 3.0
_OVERLAP = 64  # longer than an early secret
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw.. \S+ \S+ \S+ *(\[heap\])?$", re.MULTILINE)
# TLS 1.3's cipher suites (RFC 8446, appendix B.4) are 0x1301 to 0x1305.
_CIPHERS = range(0x1301, 0x1306)


def secrets_in_process(pid: int, known: Mapping[str, ValuePath]) -> dict[str, ValuePath]:
    """The places of the secrets, by a live connection of TLS 1.3 without pre-shared key; {} where there is none.

    known: the paths of version, bio_type and cipher_id. Raises PlainwireError when the memory can't be read.
    """
    if not {"version", "bio_type", "cipher_id"} <= known.keys():
        return {}
    deadline = time.monotonic() + _SECONDS
    with ProcessMemory(pid) as memory:
        for address in _early_secrets(pid, memory, deadline):
            before = memory.read(address - STRUCTURE_SIZE, STRUCTURE_SIZE)
            for distance in range(0, len(before), 4):
                ssl = address - distance
                if ssl % 8 == 0 and _is_ssl(memory, ssl, known, before, distance):
                    found = secrets_in(memory.read(ssl, STRUCTURE_SIZE))
                    if found:
                        return {name: (offset,) for name, offset in found.items()}
    return {}


def _early_secrets(pid: int, memory: ProcessMemory, deadline: float) -> Iterator[int]:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError as error:
        raise InputError(f"cannot read the mappings of process {pid}: {error.strerror}") from None
    for start, end, _ in _WRITABLE.findall(maps):
        for at in range(int(start, 16), int(end, 16), _CHUNK):
            if time.monotonic() > deadline:
                return
            for offset, _hash in early_secrets(memory.read(at, _CHUNK + _OVERLAP)):
                yield at + offset


def _is_ssl(memory: ProcessMemory, ssl: int, known: Mapping[str, ValuePath], before: bytes, distance: int) -> bool:
    def number(name: str, size: int) -> int:
        return int.from_bytes(memory.value(ssl, known[name], size), "little")

    # Most candidates fail here, without a system call.
    path = known["version"]
    at = len(before) - distance + path[0]
    if len(path) == 1 and at + 2 <= len(before) and int.from_bytes(before[at : at + 2], "little") != TLS1_3:
        return False
    return number("version", 2) == TLS1_3 and number("bio_type", 4) > 0 and number("cipher_id", 2) in _CIPHERS
