"""Cgroups made for a test, in any mounted hierarchy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def cgroup(name: str) -> Iterator[Path]:
    """A cgroup `plainwire-PID/NAME`, where NAME may be a path; the file that takes the pids of its processes."""
    root = _hierarchy()
    top = root / f"plainwire-{os.getpid()}"
    folder = top / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {root}: {error}")
    try:
        yield folder / "cgroup.procs"
    finally:
        for made in [folder, *folder.parents]:
            if not made.is_relative_to(top):
                break
            for _ in range(100):  # until its last process is gone
                with suppress(OSError):
                    made.rmdir()
                    break
                time.sleep(0.02)


def _hierarchy() -> Path:
    """Where cgroup2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    pytest.skip("cgroup2 is not mounted")
