"""Programs that do what lines on their standard input say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from tests.support.processes import end, wait_until


class Peer:
    """Such a program under way, as a context manager. told: the file for what it prints."""

    def __init__(self, command: list[str], told: Path) -> None:
        self._told = told
        with told.open("wb") as output:
            # What it prints is to be in the file when it is printed.
            command = ["stdbuf", "-o0", *command]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        end(self._process)

    def say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    @property
    def told(self) -> str:
        return self._told.read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.told, repr(text))
