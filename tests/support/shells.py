"""Real shells on a pseudo-terminal, in which a test enters lines as a user does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import pexpect
import pytest

FIRST, FURTHER = "READY> ", "MORE> "
# Interactive, without the machine's and the user's own settings.
ARGUMENTS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-o", "no_prompt_sp", "-i"]}


class Shell:
    """A shell that waits for its first line."""

    def __init__(self, path: str | Path, name: str | None = None, **environment: str) -> None:
        name = self._name = name or Path(path).name
        variables = {"PS1": FIRST, "PS2": FURTHER, "HISTFILE": "", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        try:
            self._terminal = pexpect.spawn(
                str(path),
                ARGUMENTS[name],
                env={"PATH": os.environ["PATH"], "HOME": "/", **variables, **environment},
                timeout=20,
                dimensions=(24, 20000),  # nothing is wrapped
                echo=False,
                encoding="utf-8",
            )
        except pexpect.ExceptionPexpect:
            pytest.skip(f"{path} is not installed")
        self._terminal.delaybeforesend = None
        self._terminal.expect_exact(FIRST)

    @property
    def pid(self) -> int:
        assert isinstance(self._terminal.pid, int)
        return self._terminal.pid

    def enter(self, *lines: str, prompt: str = FIRST) -> str:
        """Enter the lines of one command; waits for the prompt that follows each. What the shell has printed."""
        printed = ""
        for number, line in enumerate(lines, start=1):
            self._terminal.send(line + "\r")
            self._terminal.expect_exact(prompt if number == len(lines) else FURTHER)
            printed += self._terminal.before or ""
        return printed

    def leave(self, line: str) -> None:
        """Enter a line that ends the shell, and wait for that."""
        self._terminal.send(line + "\r")
        self._terminal.expect(pexpect.EOF)
        self._terminal.close()

    def interrupt(self) -> None:
        """Press Ctrl-C where a prompt has just come, and wait for the prompt of the next command."""
        if self._name == "zsh":  # says after its prompt that it reads keys now; a Ctrl-C before that may be lost
            self._terminal.expect_exact("\x1b[?2004h")
        self._terminal.send("\x03")
        self._terminal.expect_exact(FIRST)

    def send(self, text: str) -> None:
        """Type, and wait for nothing."""
        self._terminal.send(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._terminal.close(force=True)
