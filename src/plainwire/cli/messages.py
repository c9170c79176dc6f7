"""What commands say on stderr."""

from __future__ import annotations

import sys


def say(message: str, *, prefix: bool = True) -> None:
    """One line on stderr."""
    print(f"plainwire: {message}" if prefix else message, file=sys.stderr, flush=True)
