"""Layouts that were learned before, by the identity of the build.

In /var/cache/plainwire for root, else under XDG_CACHE_HOME (~/.cache). Offsets are no secret, but who may write them
matters.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from .layout import VALUES, Finding, Layout

# Part of the folder's name: raised when a plainwire learns more or otherwise than the one before.
_FORMAT = 2
_MAX_SIZE = 1 << 16


def folder() -> Path:
    """Where this user's layouts are kept."""
    if os.geteuid() == 0:
        return Path(f"/var/cache/plainwire/layouts-{_FORMAT}")
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: relative paths are invalid and to be ignored.
    home = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return home / "plainwire" / f"layouts-{_FORMAT}"


def _place(identity: str, *, by_getters: bool) -> Path:
    return folder() / f"{identity}{'.getters' if by_getters else ''}.json"


def load(identity: str, *, by_getters: bool = False) -> Layout | None:
    """The layout of a build, or None: not there, damaged, or written by somebody else.

    by_getters: what the machine code alone told, which a capture learns.
    """
    try:
        descriptor = os.open(
            _place(identity, by_getters=by_getters), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            return None
        try:
            layout = msgspec.json.decode(file.read(_MAX_SIZE), type=Layout)
        except (OSError, msgspec.DecodeError):
            return None
    consistent = all(finding == Finding.of(finding.by_way) for finding in layout.values.values())
    return layout if consistent and layout.identity == identity and layout.values.keys() <= VALUES.keys() else None


def save(layout: Layout, *, by_getters: bool = False) -> None:
    """Keeps a layout. What can't be written is learned again the next time."""
    place = _place(layout.identity, by_getters=by_getters)
    mode = 0o644 if os.geteuid() == 0 else 0o600
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(msgspec.json.encode(layout))
            partial.rename(place)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
