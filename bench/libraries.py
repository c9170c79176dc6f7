"""Which file a program's libssl is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def system_libssl(executable: Path) -> Path:
    """The libssl that the dynamic linker gives to `executable`."""
    listed = subprocess.run(["ldd", executable], capture_output=True, text=True, check=True).stdout
    found = re.search(r"libssl\S* => (\S+)", listed)
    assert found, f"{executable} uses no libssl:\n{listed}"
    return Path(found[1])
