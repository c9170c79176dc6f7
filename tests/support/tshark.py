"""Files of packets as tshark reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def tshark(path: Path, display_filter: str, *fields: str) -> list[list[str]]:
    """One row a packet, one column a field. Raises CalledProcessError for a file that is cut or damaged."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), "-Y", display_filter, "-T", "fields", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in finished.stdout.splitlines()]
