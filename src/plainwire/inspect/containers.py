"""Which container a process runs in."""

from __future__ import annotations

import re
from pathlib import Path

# Docker, containerd, CRI-O and Podman all name the cgroup of a container after its id: 64 hexadecimal digits.
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def container_of(pid: int) -> str | None:
    """The id of its container; None outside of one, and where the process is gone."""
    try:
        found = _ID.findall(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return None
    return found[-1] if found else None  # the innermost of nested ones
