"""Boots a kernel by virtme-ng over this machine's own root file system, under QEMU's software emulation, and runs
commands in it as root.

The guest sees the host's files, and its writes are lost, those to the shared folder apart, where results are put.

virtme-ng has the guest mount the files by 9p without a cache, and then a mere `python -c pass` takes many seconds. So
they are mounted a second time, with one, and what commands read most is looked up there.
"""

from __future__ import annotations

import errno
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.kernel_image import ROOT, KernelImage

_CACHED = "/mnt"  # the second export, in the guest
BOOT_SECONDS = 180  # measured: 20 until the first command runs, on two busy cores
Command = Sequence[str | Path]


class BootFailedError(Exception):
    """The machine ended, or its time, before the commands did; the message has the console's end."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one command left. `timeout` makes exit status 124."""

    command: Command
    status: int
    stdout: str
    stderr: str


def why_no_machine() -> str | None:
    """Why nothing can be booted here; None if it can."""
    if os.geteuid() != 0:
        return "not root: the guest runs as root over this machine's files"
    for tool in ("qemu-system-x86_64", "busybox", "depmod", "file"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{tool} is not installed"
    if any(character.isspace() for character in str(ROOT)):
        return f"the kernel's command line can't name a file below {str(ROOT)!r}: a space stands in the path"
    return None


def run_in_machine(
    image: KernelImage,
    commands: Sequence[Command],
    *,
    cmdline: Sequence[str] = (),
    timeout: float = 60,
    writable: Path | None = None,
    cpus: int = 2,
    memory: str = "2G",
) -> list[Result]:
    """Boots `image` with `cmdline` added to the kernel's, runs the commands one after another in the checkout's folder.

    Each command has `timeout` seconds, and under emulation everything takes about ten times as long. The checkout's
    .venv/bin comes first in PATH, the environment is otherwise the guest's. What the guest writes into the folder
    `writable` stays, everything else is gone with it. A machine that ends before any command has begun is booted once
    more: QEMU 7.2's emulation itself crashes now and then. Raises BootFailedError.
    """
    with tempfile.TemporaryDirectory(prefix="plainwire-vm-") as name:
        shared = Path(name)
        (shared / "run").write_text(_script(shared, commands, timeout))
        qemu = ["--disable-kvm", "--disable-microvm", "--force-9p", "--force-initramfs"]
        size = ["--cpus", str(cpus), "--memory", memory]
        append = [word for option in cmdline for word in ("--append", option)]
        vng = ["vng", "--run", str(image.vmlinuz), *qemu, *size, *append, "--user", "root", "--rwdir", str(shared)]
        vng += ["--rodir", f"{_CACHED}=/"]
        vng += ["--rwdir", str(writable)] if writable else []
        vng += ["--verbose", "--", "sh", str(shared / "run")]
        console = _run_on_terminal(vng, BOOT_SECONDS + timeout * len(commands), shared)
        if not (shared / "0.stdout").exists():
            console = _run_on_terminal(vng, BOOT_SECONDS + timeout * len(commands), shared)
        return [_result(shared, number, command, console) for number, command in enumerate(commands)]


def _script(shared: Path, commands: Sequence[Command], timeout: float) -> str:
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    lines = [
        *_use_cache(),
        f"cd {shlex.quote(str(ROOT))}",
        f"export PATH={shlex.quote(path)} HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PLAINWIRE_TEST_PATIENCE=15",
    ]
    for number, command in enumerate(commands):
        result = shlex.quote(str(shared / str(number)))
        words = " ".join(shlex.quote(str(word)) for word in command)
        lines.append(f"timeout -k 5 {timeout} {words} >{result}.stdout 2>{result}.stderr </dev/null")
        lines.append(f"echo $? >{result}.status")
    return "\n".join(lines) + "\n"


def _use_cache() -> list[str]:
    """Shell lines that put the cached export in the place of programs, libraries, Python and the checkout."""
    options = "ro,version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
    # Not /usr itself: the modules of the guest's kernel are in it.
    usual = [Path("/usr/bin"), Path("/usr/sbin"), *Path("/usr/lib").glob("*-linux-gnu")]
    python = [Path(sys.base_prefix)] if sys.base_prefix != "/usr" else list(Path("/usr/lib").glob("python3*"))
    return [
        f"tag=$(sed -n 's|^\\([^ ]*\\) {_CACHED} .*|\\1|p' /proc/mounts)",
        f"umount {_CACHED} && mount -t 9p -o {options} $tag {_CACHED}",
        *(
            f"mount --bind {shlex.quote(f'{_CACHED}{path}')} {shlex.quote(str(path))}"
            for path in (*usual, *python, ROOT)
        ),
    ]


def _result(shared: Path, number: int, command: Command, console: str) -> Result:
    status, stdout, stderr = (shared / f"{number}.{name}" for name in ("status", "stdout", "stderr"))
    if not status.exists():
        raise BootFailedError(f"{list(map(str, command))} did not end. The console's last lines:\n{console[-3000:]}")
    return Result(
        command,
        int(status.read_text()),
        stdout.read_text(errors="surrogateescape"),
        stderr.read_text(errors="surrogateescape"),
    )


def _run_on_terminal(command: list[str], timeout: float, home: Path) -> str:
    """Runs vng on a pseudo-terminal, without which it shows nothing; what the machine's console printed."""
    master, slave = pty.openpty()
    environment = {**os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["nice", *command], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    console = bytearray()
    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            if select.select([master], [], [], left)[0]:
                try:
                    console += os.read(master, 65536)
                except OSError as error:
                    if error.errno != errno.EIO:  # all that had the terminal open are gone
                        raise
                    break
    finally:
        if process.poll() is None and time.monotonic() >= deadline:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
    return console.decode(errors="replace")
