"""What the figures depend on besides the code: printed above them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def describe() -> str:
    """Processor, kernel, Python, and how busy the machine is at the start: figures of a busy one are worth less."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = model[1] if model else platform.machine()
    return (
        f"{os.cpu_count()} × {processor}, Linux {platform.release()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}"
    )


def captures_under_way() -> list[int]:
    """The processes of other captures. Their probes slow down what is measured without any, so figures then mislead."""
    return sorted(_captures())


def _captures() -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"capture" in words and any(word.endswith(b"/plainwire") for word in words):
                yield int(folder.name)
