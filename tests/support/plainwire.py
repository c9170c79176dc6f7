"""Runs the `plainwire` command as a user does: a process of its own, its two outputs, its exit status."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Literal, Self

from tests.support.processes import PATIENCE, wait_until

# The way to hook the kernel that the tests are to use; tests/vm sets it on kernels that have several.
HOOKS = os.environ.get("PLAINWIRE_TEST_HOOKS", "auto")
COMMAND = Path(sys.executable).with_name("plainwire")
Event = dict[str, Any]


def plainwire(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself."""
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=timeout * PATIENCE, check=False
    )


class Capture:
    """`plainwire capture …` under way. As a context manager it is ready for traffic inside, and stopped at the end."""

    def __init__(self, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        self.arguments = [str(COMMAND), "capture", "--hooks", HOOKS, *map(str, arguments)]
        self.lines: list[str] = []  # of stdout, as they come
        self.messages: list[str] = []  # of stderr
        self._events: list[Event] = []  # of the lines that were parsed
        self._process = subprocess.Popen(
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            text=True,
            errors="surrogateescape",
        )
        self._readers = [
            self._collect(self._process.stdout, self.lines),
            self._collect(self._process.stderr, self.messages),
        ]

    @staticmethod
    def _collect(stream: IO[str] | None, into: list[str]) -> threading.Thread:
        assert stream is not None
        thread = threading.Thread(target=into.extend, args=(stream,), daemon=True)
        thread.start()
        return thread

    def __enter__(self) -> Self:
        try:
            self.wait_until_attached()
        except BaseException:
            self._process.kill()
            self.wait()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_attached(self, timeout: float = 30) -> None:
        """Until stderr has the line that starts with `capturing`; AssertionError with its words if it ends before."""
        wait_until(
            lambda: self._process.poll() is not None or any(line.startswith("capturing") for line in self.messages),
            "plainwire to say that it captures",
            timeout,
        )
        if self._process.poll() is not None:
            self.wait()
            attached = any(line.startswith("capturing") for line in self.messages)
            assert attached, f"plainwire ended with {self._process.returncode}: {''.join(self.messages)}"

    def wait(self, timeout: float = 30) -> int:
        """The exit status of a capture that ends by itself (`--duration`, `--max-events`, `-- COMMAND`)."""
        status = self._process.wait(timeout * PATIENCE)
        for reader in self._readers:
            reader.join(timeout * PATIENCE)
        return status

    def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        """Asks the capture to end, as Ctrl-C does; its exit status. It has the 2 s that it promises, and some more."""
        if self._process.poll() is None:
            self._process.send_signal(by)
        try:
            return self.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.wait()
            raise

    def events(self, kind: str | None = None) -> list[Event]:
        """What `--json` printed up to now, in order: all objects, or those of one kind."""
        for line in self.lines[len(self._events) :]:
            self._events.append(json.loads(line))
        return [event for event in self._events if kind is None or event["kind"] == kind]

    def wait_for_bytes(self, count: int, *, direction: Literal["read", "write"], pid: int | None = None) -> bytes:
        """Waits until that many bytes of a process (or of all) came, and gives them."""
        wait_until(
            lambda: len(payload(self.events("data"), direction, pid)) >= count,
            f"{count} bytes of direction {direction}",
            20,
        )
        return payload(self.events("data"), direction, pid)


def payload(events: Iterable[Event], direction: Literal["read", "write"], pid: int | None = None) -> bytes:
    """The bytes of the data events of one direction and, if given, one process, joined in their order."""
    return b"".join(
        base64.b64decode(event["data"])
        for event in events
        if event["kind"] == "data" and event["direction"] == direction and pid in (None, event["pid"])
    )


def capture_of(run_plainwire: Callable[..., Capture], *arguments: str | Path) -> Capture:
    """A capture that ends with its command, and has ended well."""
    capture = run_plainwire(*arguments)
    assert capture.wait() == 0, "".join(capture.messages)
    return capture
