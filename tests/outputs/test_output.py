from __future__ import annotations

import errno
import os
import pty
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from plainwire.errors import InputError
from plainwire.events import AnyEvent
from plainwire.outputs import OutputSet, open_output
from plainwire.outputs.destination import open_private, write_all
from plainwire.outputs.style import COLOUR, PLAIN, style_for
from tests.support.events import data_event, stats_event


def test_a_new_file_is_private_and_takes_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    output = open_output("json", path)
    output.write([data_event(b"one")])
    assert path.read_bytes().count(b"\n") == 1  # out when write() returns, not when closed
    output.write([data_event(b"two"), stats_event()])
    output.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [line[:15] for line in path.read_bytes().splitlines()] == [b'{"kind":"data",'] * 2 + [b'{"kind":"stats"']


def test_an_old_file_is_begun_anew_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old" * 1000)
    path.chmod(0o640)
    output = open_output("hex", path)
    output.write([data_event(b"x")])
    output.close()
    assert path.read_text().endswith("00000000  78                                                |x|\n")
    assert "old" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_new_file_belongs_to_the_calling_user_and_an_old_one_stays_its_owners(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    os.close(open_private(new, owner=(1000, 1001)))
    os.close(open_private(old, owner=(1000, 1001)))
    assert (new.stat().st_uid, new.stat().st_gid) == (1000, 1001)
    assert old.stat().st_uid == 0


def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "no folder" / "out", tmp_path):
        with pytest.raises(InputError, match=f"can't write {path}: ") as caught:
            open_output("text", path)
        assert "\n" not in str(caught.value)


def test_write_all_waits_for_a_slow_reader_of_a_non_blocking_pipe() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 50_000):
            received.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    write_all(writer, data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert received == data


class Recorder:
    """Keeps what it is given, or fails."""

    def __init__(self, name: str, error: OSError | None = None) -> None:
        self.name = name
        self.error = error
        self.received: list[AnyEvent] = []

    def write(self, events: Sequence[AnyEvent]) -> None:
        if self.error:
            raise self.error
        self.received += events

    def close(self) -> None:
        pass


def test_an_output_that_fails_is_told_once_and_the_others_go_on() -> None:
    messages: list[str] = []
    full = Recorder("/mnt/full", OSError(errno.ENOSPC, "No space left on device"))
    good = Recorder("good")
    outputs = OutputSet([full, good], messages.append)
    outputs.write([data_event(b"1")])
    outputs.write([data_event(b"2")])
    assert [event.data for event in good.received] == [b"1", b"2"]  # type: ignore[union-attr]
    assert messages == ["/mnt/full is no longer written: No space left on device; the capture goes on without it"]
    assert outputs.active


def test_a_device_that_is_full_is_noticed() -> None:
    messages: list[str] = []
    outputs = OutputSet([open_output("json", Path("/dev/full"))], messages.append)
    outputs.write([data_event(b"x")])
    assert messages == ["/dev/full is no longer written: No space left on device; the capture goes on without it"]
    assert not outputs.active


def test_a_reader_of_stdout_that_has_gone_is_raised_after_the_others_were_fed() -> None:
    messages: list[str] = []
    good = Recorder("good")
    gone = BrokenPipeError(errno.EPIPE, "Broken pipe")
    outputs = OutputSet([Recorder("stdout", gone), Recorder("a pipe", gone), good], messages.append)
    with pytest.raises(BrokenPipeError):
        outputs.write([data_event(b"1")])
    assert len(good.received) == 1
    assert messages == ["a pipe is no longer written: Broken pipe; the capture goes on without it"]


def test_a_closed_pipe_ends_a_program_without_a_word() -> None:
    program = (
        "from plainwire.outputs import OutputSet, open_output\n"
        "from tests.support.events import data_event\n"
        "outputs = OutputSet([open_output('text')], print)\n"
        "try:\n"
        "    while True: outputs.write([data_event(b'x' * 1000)])\n"
        "except BrokenPipeError: pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "━━ 2026-02-03, times are UTC\n".encode()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_closed_stdout_is_an_input_error() -> None:
    program = "from plainwire.outputs import open_output; open_output('text')"
    shell = ["sh", "-c", f'exec "{sys.executable}" -c "{program}" >&-']
    said = subprocess.run(shell, stderr=subprocess.PIPE, check=False).stderr
    assert said.splitlines()[-1].startswith(b"plainwire.errors.InputError: can't write to stdout: it is closed; ")


def test_colour_is_for_terminals_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    main, terminal = pty.openpty()
    file = open_private(tmp_path / "out")
    try:
        assert style_for(terminal) is COLOUR
        assert style_for(file) is PLAIN
        monkeypatch.setenv("NO_COLOR", "")  # no-color.org: "when present and not an empty string"
        assert style_for(terminal) is COLOUR
        monkeypatch.setenv("NO_COLOR", "1")
        assert style_for(terminal) is PLAIN
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("TERM", "dumb")
        assert style_for(terminal) is PLAIN
    finally:
        for descriptor in (main, terminal, file):
            os.close(descriptor)
