"""Calls functions of a TLS library in a helper process that is confined and has little time.

The library's code is not trusted. It may crash, hang, write anything to the helper's output and return anything: each
costs a CalibrationError, and what it returns is only ever compared with other ways to learn the same.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from plainwire.errors import InputError

from .memory import ProcessMemory

NOBODY = 65534
_LONGEST_ANSWER = 1 << 16
_NUMBER = re.compile("[0-9a-f]{1,16}")
# Isolated (-I), the interpreter takes no path from the environment or the current folder, so it is told where we are.
# plainwire/__init__.py is left out: it imports what the helper has no need of.
_HELPER = f"""
import sys, types
package = types.ModuleType("plainwire")
package.__path__ = [{str(Path(__file__).parents[1])!r}]
sys.modules["plainwire"] = package
from plainwire.layouts.calibration_helper import main
main()
"""


class CalibrationError(InputError):
    """The library could not be calibrated; the message says why in one line."""


class Owner:
    """As whom the code of a file may run. None: as the one who runs plainwire."""

    def __init__(self, descriptors: Sequence[int], *, allow_writable: bool) -> None:
        """Raises CalibrationError for files that others than their owner may write, or that a stranger owns."""
        self.uid: int | None = None
        self.gid: int | None = None
        status = [os.fstat(descriptor) for descriptor in descriptors]
        owners = {entry.st_uid for entry in status} - {0}
        if not allow_writable:
            if any(entry.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for entry in status):
                raise CalibrationError("its group or everybody may write the file, so its code is not run")
            if len(owners) > 1 or (os.geteuid() and owners - {os.geteuid()}):
                raise CalibrationError(f"it belongs to user {max(owners)}, so its code is not run as another")
        if os.geteuid() == 0:
            self.uid = max(owners, default=NOBODY)
            self.gid = max((entry.st_gid for entry in status if entry.st_uid == self.uid), default=NOBODY) or NOBODY


class Library:
    """A library or program whose functions can be called; use it as a context manager.

    descriptors: the file's, then those of libraries that it needs. functions: name → (index of the file, address as
    linked). entry: the entry address of a program that is to be started for it, None for a library.
    seconds: for everything together. started: told the number of each process in which functions will be called,
    before any is.
    """

    def __init__(
        self,
        descriptors: Sequence[int],
        functions: Mapping[str, tuple[int, int]],
        *,
        entry: int | None,
        owner: Owner,
        seconds: float,
        started: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self._functions = functions
        self._deadline = time.monotonic() + seconds
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _HELPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            cwd="/",
            env={"OPENSSL_CONF": "/dev/null", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        self._received = b""
        try:
            request = {
                "descriptors": list(descriptors),
                "functions": dict(functions),
                "entry": entry,
                "uid": owner.uid,
                "gid": owner.gid,
                "seconds": max(int(seconds), 1),
            }
            pid = self._number(self._ask(json.dumps(request), "loading"), "loading")
            self.memory = ProcessMemory(self._checked(pid), writable=True)
            started(pid)
        except BaseException:
            self._end()
            raise

    def _checked(self, pid: int) -> int:
        """The helper says which process it calls functions in: itself, or one that it started."""
        if pid != self._process.pid:
            children = []
            with suppress(OSError):
                children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if str(pid) not in children:
                raise CalibrationError("the helper named a process that is not its own")
        return pid

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def call(self, name: str, *arguments: int | str) -> int:
        """What a function returns, as an unsigned number of 64 bits. An argument "KEYLOG" is the keylog callback."""
        if name not in self._functions:
            raise CalibrationError(f"the library has no {name}")
        words = [word if isinstance(word, str) else f"{word & (1 << 64) - 1:x}" for word in arguments]
        return self._number(self._ask(" ".join(["call", name, *words]), name), name)

    def place(self, data: bytes) -> int:
        """The address of a copy of `data` in the helper."""
        address = self._number(self._ask(f"place {len(data):x}", "allocating"), "allocating")
        self.write(address, data)
        return address

    def write(self, address: int, data: bytes) -> None:
        try:
            self.memory.write(address, data)
        except OSError as error:
            raise CalibrationError(f"cannot write the helper's memory: {error.strerror}") from None

    def keylog(self) -> list[str]:
        """The lines that the keylog callback got so far."""
        try:
            lines = json.loads(self._ask("keylog", "keylog"))
        except (ValueError, RecursionError):
            raise CalibrationError("the helper's answer makes no sense in keylog") from None
        return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []

    def _number(self, answer: str, doing: str) -> int:
        if not _NUMBER.fullmatch(answer):
            raise CalibrationError(f"the helper's answer makes no sense in {doing}")
        return int(answer, 16)

    def _ask(self, line: str, doing: str) -> str:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        answer = self._answer(doing)
        if answer.startswith("error "):
            raise CalibrationError(answer.removeprefix("error ")[:200])
        return answer

    def _answer(self, doing: str) -> str:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._received:
                left = self._deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise CalibrationError(f"the library takes too long in {doing}")
                more = os.read(descriptor, 1 << 16)
                if not more:
                    raise CalibrationError(f"the library {self._how_it_ended()} in {doing}")
                self._received += more
                if len(self._received) > _LONGEST_ANSWER:
                    raise CalibrationError("the helper's answer is too long")
        answer, self._received = self._received.split(b"\n", 1)
        return answer.decode("utf-8", "replace")

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(1)
            if code < 0:
                return f"crashed ({signal.Signals(-code).name})"
            return f"ended its process (exit status {code})"
        return "closed its output"

    def close(self) -> None:
        self.memory.close()
        self._end()

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
