"""The small programs of the measurements, compiled when they are needed: C by cc, eBPF as the product's own."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from plainwire.kernel.bpf_object import BpfObject
from scripts.build_bpf import SOURCES, compile_object, compiler

PROGRAMS = Path(__file__).parent / "programs"


def c_program(name: str, folder: Path, *libraries: str) -> Path:
    """programs/NAME.c, compiled into `folder` and linked with the libraries."""
    target = folder / name
    flags = ["-O2", "-Wall", "-Werror", "-iquote", str(SOURCES)]
    links = [f"-l{library}" for library in libraries]
    subprocess.run(["cc", *flags, "-o", target, PROGRAMS / f"{name}.c", *links], check=True)
    return target


def bpf_object(name: str, folder: Path) -> BpfObject:
    """programs/NAME.bpf.c, compiled into `folder` and opened."""
    return BpfObject(name, compile_object(compiler(), PROGRAMS / f"{name}.bpf.c", platform.machine(), folder))


class Dialogue:
    """A program that answers each line of numbers on its stdin with one on its stdout."""

    def __init__(self, *command: str | Path, env: dict[str, str] | None = None, pass_fds: tuple[int, ...] = ()) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, pass_fds=pass_fds
        )

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    def ask(self, *numbers: int) -> list[int]:
        """Its answer to a line of `numbers`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{' '.join(map(str, numbers))}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{self._process.args!r} has ended"
        return [int(number) for number in answer.split()]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
