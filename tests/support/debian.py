"""Debian's packages of other releases and machines, unpacked into the user's cache and not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plainwire-tests" / "debian"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@cache
def unpacked(release: str, architecture: str, *packages: str) -> Path:
    """A folder with the files of these packages; skips the test where they can't be downloaded."""
    folder = CACHE / "-".join((release, architecture, *packages))
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _download(folder, release, architecture, packages)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"{' and '.join(packages)} of Debian {release} can't be downloaded: {error}")
        (folder / "ready").touch()
    return folder / "root"


def _download(folder: Path, release: str, architecture: str, packages: tuple[str, ...]) -> None:
    """With apt's lists and configuration in a folder of their own: the machine's stay as they are."""
    sources = f"deb [arch={architecture} signed-by={KEYRING}] {MIRROR} {release} main\n"
    (folder / "sources.list").write_text(sources)
    (folder / "status").touch()
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (folder / name).mkdir(parents=True)
    options = [
        f"Dir::Etc::sourcelist={folder}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={folder}/lists",
        f"Dir::State::status={folder}/status",
        f"Dir::Cache={folder}/cache",
        "APT::Sandbox::User=root",
        f"APT::Architecture={architecture}",
        f"APT::Architectures::={architecture}",
    ]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    subprocess.run([*apt, "update"], check=True, capture_output=True, timeout=300)
    subprocess.run([*apt, "download", *packages], cwd=folder / "packages", check=True, capture_output=True, timeout=300)
    for package in (folder / "packages").iterdir():
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True, capture_output=True)
    for leftover in ("lists", "cache", "packages"):
        shutil.rmtree(folder / leftover)
