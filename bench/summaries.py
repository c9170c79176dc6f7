"""What a capture says at its end."""

from __future__ import annotations

from tests.support.plainwire import Capture


def summary(capture: Capture) -> str:
    """The lines from `captured …` on, in one."""
    lines = [line.strip() for line in capture.messages]
    start = next(index for index, line in enumerate(lines) if line.startswith("captured"))
    return "; ".join(lines[start:])
