"""Which capabilities this process lacks for a capture (capabilities(7); bits of include/uapi/linux/capability.h)."""

from __future__ import annotations

import re
from pathlib import Path

_CAP_SYS_ADMIN = 21
# What each is for. CAP_SYS_ADMIN includes the first two.
_NEEDED = {
    "CAP_BPF": (39, "load eBPF programs"),
    "CAP_PERFMON": (38, "attach them and read memory"),
    "CAP_SYS_PTRACE": (19, "look into other processes"),
}


def missing_capabilities() -> dict[str, str]:
    """The names of those that are missing, and what they are for."""
    match = re.search(r"^CapEff:\t([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    effective = int(match[1], 16) if match else 0
    admin = effective >> _CAP_SYS_ADMIN & 1
    return {
        name: purpose
        for name, (bit, purpose) in _NEEDED.items()
        if not effective >> bit & 1 and not (admin and name != "CAP_SYS_PTRACE")
    }
