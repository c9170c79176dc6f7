"""Colours of the text output: escape codes of our own, on a terminal only."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """SGR codes (ECMA-48, section 8.3.117), or empty strings where no colour is wanted."""

    dim: str = ""
    bold: str = ""
    read: str = ""
    write: str = ""
    alarm: str = ""
    escape: str = ""  # what stands for a byte that must not be printed
    reset: str = ""


PLAIN = Style()
COLOUR = Style(
    dim="\x1b[2m",
    bold="\x1b[1m",
    read="\x1b[36m",
    write="\x1b[32m",
    alarm="\x1b[1;31m",
    escape="\x1b[33m",
    reset="\x1b[0m",
)


def style_for(descriptor: int) -> Style:
    """COLOUR if the descriptor is a terminal that knows it and the user has not set NO_COLOR (https://no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return COLOUR if wanted and os.isatty(descriptor) else PLAIN
