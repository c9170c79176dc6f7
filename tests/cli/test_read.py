"""`plainwire read` as a user runs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest

from plainwire.decode.records import AnyRecord, End, Layout, Samples
from plainwire.events import StatsEvent
from plainwire.recording.writer import Writer
from tests.decode.test_decoder import SECOND, decode, start
from tests.support.plainwire import COMMAND, plainwire
from tests.support.samples import keylog_line, object_btf, ssl_data

REQUEST = b"GET /secret HTTP/1.1\r\nHost: example\r\n\r\n"
RECORDS: list[AnyRecord] = [
    Samples([ssl_data(REQUEST), ssl_data(b"HTTP/1.1 200 OK\r\n\r\n", type=0)]),
    Samples([ssl_data(bytes(range(256)) * 64, sequence=3, type=0)]),
    End(8 * SECOND),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    with Writer(path) as writer:
        for record in (*start(), *RECORDS):
            writer.write(record)
    return path


def test_json_is_what_the_decoder_gives(recording: Path) -> None:
    finished = plainwire("read", "--json", recording)
    assert finished.returncode == 0
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert lines == [json.loads(msgspec.json.encode(event)) for event in decode(*RECORDS)]
    assert lines[-1]["complete"] is True


def test_text_and_hex(recording: Path) -> None:
    text = plainwire("read", recording)
    assert text.returncode == 0
    assert "curl[100]" in text.stdout
    assert "GET /secret HTTP/1.1" in text.stdout
    assert "captured 3 events" in text.stderr
    assert "47 45 54 20 2f 73 65 63" in plainwire("read", "--hex", recording).stdout


def test_out_writes_a_file(recording: Path, tmp_path: Path) -> None:
    finished = plainwire("read", "--json", recording, "--out", tmp_path / "events")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert (tmp_path / "events").read_text() == plainwire("read", "--json", recording).stdout


def test_stdin(recording: Path) -> None:
    with recording.open("rb") as file:
        finished = subprocess.run(
            [COMMAND, "read", "--json", "-"], stdin=file, capture_output=True, text=True, check=True
        )
    assert finished.stdout == plainwire("read", "--json", recording).stdout


def test_a_cut_recording_is_read_up_to_the_cut(recording: Path) -> None:
    os.truncate(recording, recording.stat().st_size - 100)
    finished = plainwire("read", "--json", recording)
    assert finished.returncode == 0
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["data", "data", "stats"]
    assert lines[-1]["complete"] is False
    assert "cut short" in finished.stderr


def test_damage_is_an_error_after_what_stands_before_it(recording: Path) -> None:
    with recording.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(bytes(20))
    finished = plainwire("read", "--json", recording)
    assert finished.returncode == 2
    assert len(finished.stdout.splitlines()) >= 3
    assert "damaged at byte" in finished.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "can't read missing: No such file or directory"),
        (["/"], "can't read /: Is a directory"),
        (["/etc/passwd"], "/etc/passwd: not a recording"),
        (["/dev/null"], "/dev/null: empty, not a recording"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    finished = plainwire("read", *arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"plainwire: {message}")


@pytest.mark.parametrize("options", [["--hex", "--json"], ["--json", "--keylog", "-"]])
def test_outputs_that_contradict_each_other_are_one_line(recording: Path, options: list[str]) -> None:
    finished = plainwire("read", *options, recording)
    assert (finished.returncode, finished.stdout, len(finished.stderr.splitlines())) == (2, "", 1)


def test_keylog(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    with Writer(path) as writer:
        for record in (*start(), Layout("openssl", object_btf("secrets")), Samples([keylog_line()]), *RECORDS):
            writer.write(record)
    line = f"EXPORTER_SECRET {bytes(range(32)).hex()} {bytes(range(48)).hex()}\n"
    assert plainwire("read", "--keylog", tmp_path / "keys", path).returncode == 0
    assert (tmp_path / "keys").read_text() == line
    assert plainwire("read", "--keylog", "-", path).stdout == line


def test_a_full_disk_is_an_error(recording: Path) -> None:
    finished = plainwire("read", recording, "--out", "/dev/full")
    assert finished.returncode == 2
    assert "/dev/full is no longer written: No space left on device" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "long"
    with Writer(path) as writer:
        for record in (*start(), *(Samples([ssl_data(bytes(16384), sequence=n)]) for n in range(200))):
            writer.write(record)
    pipeline = f"{shlex.quote(str(COMMAND))} read --hex {shlex.quote(str(path))} | head -1; exit ${{PIPESTATUS[0]}}"
    finished = subprocess.run(["bash", "-c", pipeline], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_summary_is_the_stats_event(recording: Path) -> None:
    stats = decode(*RECORDS)[-1]
    assert isinstance(stats, StatsEvent)
    summary = plainwire("read", recording).stderr
    assert f"captured {stats.events} events, {stats.bytes:,} bytes" in summary
    assert "lost 2 events" in summary
