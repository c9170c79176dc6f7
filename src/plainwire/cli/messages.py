"""What commands say on stderr."""

from __future__ import annotations

import sys

from plainwire.outputs.clean import clean_name


def say(message: str, *, prefix: bool = True) -> None:
    """One line on stderr. With the prefix it may hold names that a process chose: nothing in it can steer the terminal.

    Without, it is text of our own, with colours perhaps.
    """
    print(f"plainwire: {clean_name(message)}" if prefix else message, file=sys.stderr, flush=True)
