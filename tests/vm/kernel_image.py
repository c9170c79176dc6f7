"""Debian's kernels, fetched by apt and unpacked into .cache/vm without being installed."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "vm"
# Of a package's 600 MB of modules: what boots over 9p, and what the tests of networks may load.
WANTED = (
    "./boot/vmlinuz-*",
    "./*lib/modules/*/modules.*",  # below usr/ since Debian 13
    *(f"./*lib/modules/*/kernel/{part}/*" for part in ("fs", "net", "lib", "crypto", "arch", "drivers/virtio")),
    "./*lib/modules/*/kernel/drivers/net/*.ko*",
)


class ImageUnavailableError(Exception):
    """This machine can't have the kernel; the message says why."""


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A kernel that can be booted; `vmlinuz` lies in boot/ beside lib/modules/."""

    release: str  # as `uname -r` will print it
    vmlinuz: Path


def kernel_image(version: str) -> KernelImage:
    """The newest Debian kernel of a version such as "6.12": from the cache, else by apt."""
    if platform.machine() != "x86_64":
        raise ImageUnavailableError(f"the kernels are for x86_64, this machine is {platform.machine()}")
    pattern = rf"^linux-image-{re.escape(version)}\.[^-]+(-[0-9]+)?-amd64$"
    cached = [path.name for path in CACHE.iterdir() if re.match(pattern, path.name)] if CACHE.exists() else []
    package = _newest(cached) or _newest(_packages(pattern)) or _newest(_packages(pattern, update=True))
    if package is None:
        raise ImageUnavailableError(f"apt knows no Debian kernel {version} here")
    if package not in cached:
        _unpack(package)
    release = package.removeprefix("linux-image-")
    return KernelImage(release, CACHE / package / "boot" / f"vmlinuz-{release}")


def _newest(packages: list[str]) -> str | None:
    return max(packages, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default=None)


def _packages(pattern: str, *, update: bool = False) -> list[str]:
    if shutil.which("apt-get") is None:
        raise ImageUnavailableError("there is no apt-get to fetch Debian's kernels")
    if update:
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
    command = ["apt-cache", "search", "--names-only", pattern]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in found.splitlines()]


def _unpack(package: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="unpack-") as name:
        folder = Path(name)
        # apt's own user may not enter the checkout, and need not.
        download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
        got = subprocess.run(download, cwd=folder, capture_output=True, text=True, check=False)
        if got.returncode != 0:
            raise ImageUnavailableError(f"apt-get download {package} failed: {got.stderr.strip().splitlines()[-1]}")
        (archive,) = folder.glob("*.deb")
        tree = folder / "tree"
        tree.mkdir()
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as tar:
            subprocess.run(["tar", "-x", "-C", tree, "--wildcards", *WANTED], stdin=tar.stdout, check=True)
        if not (tree / "lib").exists():
            (tree / "lib").symlink_to("usr/lib")
        depmod = shutil.which("depmod") or "/usr/sbin/depmod"
        subprocess.run([depmod, "-b", tree, package.removeprefix("linux-image-")], check=True)
        tree.rename(CACHE / package)
