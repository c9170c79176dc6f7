"""Runs the programs of tests/support/tls_programs, and compares what they did with what a capture saw of it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.certificate import Certificate
from tests.support.plainwire import Capture
from tests.support.streams import streams

PROGRAMS = Path(__file__).with_name("tls_programs")


@dataclass(frozen=True, slots=True)
class Done:
    """What a program's calls moved: for each SSL structure and direction, the bytes in order."""

    pid: int
    moved: dict[tuple[int, str], bytes]


def program(name: str, certificate: Certificate, report: Path, *arguments: str | Path) -> list[str]:
    """The command that runs tls_programs/NAME.py."""
    fixed = [sys.executable, PROGRAMS / f"{name}.py", certificate.certificate, certificate.key, report]
    return [str(part) for part in (*fixed, *arguments)]


def read_report(report: Path) -> Done:
    told = json.loads(report.read_text())
    return Done(
        told["pid"],
        {
            (end["ssl"], direction): base64.b64decode(end[direction])
            for end in told["ends"]
            for direction in ("read", "write")
            if end[direction]
        },
    )


def run_program(name: str, certificate: Certificate, folder: Path, *arguments: str | Path) -> Done:
    report = folder / "report.json"
    subprocess.run(program(name, certificate, report, *arguments), check=True, timeout=120)
    return read_report(report)


def captured(capture: Capture | list[dict[str, Any]], pid: int) -> dict[tuple[int, str], bytes]:
    """What a capture saw of a process, in the form of `Done.moved`."""
    events = capture if isinstance(capture, list) else capture.events()
    found = streams(events, pid=pid)
    assert len({(stream.ssl, stream.direction) for stream in found}) == len(found), "an address used twice"
    return {(stream.ssl, stream.direction): bytes(stream.data) for stream in found}


def capture_program(
    run_plainwire: Any, name: str, certificate: Certificate, folder: Path, *arguments: str | Path
) -> tuple[Done, list[dict[str, Any]]]:
    """Runs a program as the COMMAND of a capture: what it did, and the events."""
    report = folder / "report.json"
    capture = run_plainwire("--json", "--", *program(name, certificate, report, *arguments))
    assert capture.wait() == 0
    return read_report(report), capture.events()


class Told:
    """echo_when_told.py under way: `say` makes one exchange."""

    def __init__(self, certificate: Certificate, folder: Path, libssl: str | Path, *prefix: str) -> None:
        """prefix: a command that runs the program, such as chroot."""
        self._report = folder / "report.json"
        command = [*prefix, *program("echo_when_told", certificate, self._report, libssl)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid  # of the prefix's process too, which must exec

    def __enter__(self) -> Self:
        self._expect("ready")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def say(self, line: str) -> Done:
        """What was moved since the program began."""
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._expect("done")
        return read_report(self._report)

    def _expect(self, word: str) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == word + "\n"
