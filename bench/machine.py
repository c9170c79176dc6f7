"""What the figures depend on besides the code: printed above them."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def describe() -> str:
    """Processor, kernel, Python, and how busy the machine is at the start: figures of a busy one are worth less."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = model[1] if model else platform.machine()
    return (
        f"{os.cpu_count()} × {processor}, Linux {platform.release()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f}"
    )
