"""The key log: a line for each secret, in the format that SSLKEYLOGFILE has in browsers and curl (RFC 9850).

Wireshark reads it (preference tls.keylog_file), also while it grows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from plainwire.events import AnyEvent, SecretEvent
from plainwire.outputs.destination import STDOUT, open_private, write_all

# Lines remembered, so that none is written twice: both ends of a connection may be on this machine.
_MAX_REMEMBERED = 1 << 16


class KeylogOutput:
    """Appends the secrets among the events, each line once; what write() was given is in the file when it returns."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor
        self._written: dict[bytes, None] = {}

    def write(self, events: Sequence[AnyEvent]) -> None:
        """See plainwire.outputs.output.Output."""
        lines = []
        for event in events:
            if isinstance(event, SecretEvent):
                line = keylog_line(event)
                if line not in self._written:
                    self._written[line] = None
                    lines.append(line)
        if lines:
            write_all(self._descriptor, b"".join(lines))
        while len(self._written) > _MAX_REMEMBERED:
            del self._written[next(iter(self._written))]

    def close(self) -> None:
        """See plainwire.outputs.output.Output."""
        if self._descriptor != STDOUT:
            os.close(self._descriptor)


def keylog_line(event: SecretEvent) -> bytes:
    r"""The line of one secret, ended by \n."""
    return f"{event.label} {event.client_random} {event.secret}\n".encode()


def open_keylog(path: Path, *, owner: tuple[int, int] | None = None) -> KeylogOutput:
    """A key log at the end of the file `path`, or on stdout for "-". Raises InputError if the file can't be written.

    A new file is readable by its owner alone: who has it can read the connections. owner: as in open_output.
    """
    if str(path) == "-":
        return KeylogOutput("stdout", STDOUT)
    descriptor = open_private(path, owner, append=True)
    output = KeylogOutput(str(path), descriptor)
    if _ends_within_a_line(path):
        write_all(descriptor, b"\n")
    return output


def _ends_within_a_line(path: Path) -> bool:
    """Whether another writer of the file was stopped in the middle of a line."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            return size > 0 and file.read(1) != b"\n"
    except OSError:  # it may be written but not read
        return False
