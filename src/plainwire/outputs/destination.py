"""Where output goes: stdout or a file, written whole batches at a time."""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

from plainwire.errors import InputError

STDOUT = 1


def open_private(path: Path, owner: tuple[int, int] | None = None, *, append: bool = False) -> int:
    """A descriptor that writes to `path` from its start, or at its end; a new file is readable by its owner alone.

    owner: uid and gid that a new file is given to, for a command that runs under sudo. A file that exists keeps its
    owner and mode. Raises InputError if the path can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else 0)
    try:
        try:
            descriptor = os.open(path, flags | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, flags | (0 if append else os.O_TRUNC), 0o600)
        if owner is not None:
            with contextlib.suppress(OSError):  # a file system without owners: the file is usable all the same
                os.chown(descriptor, *owner)
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}; name a file in a folder that you may write") from None
    return descriptor


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of `data`, in one call where the kernel takes it. Raises OSError, of which BrokenPipeError is one.

    A descriptor that another program made non-blocking (a terminal is shared) is waited for.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
