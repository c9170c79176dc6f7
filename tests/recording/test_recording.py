"""Recordings: what is written is read, cut and damaged files say so."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plainwire.decode.records import (
    FORMAT,
    AnyRecord,
    Clock,
    End,
    Header,
    Layout,
    LibraryFacts,
    Losses,
    ProcessFacts,
    Samples,
    Settings,
)
from plainwire.errors import InputError, RecordingError
from plainwire.recording.format import FIRST_LINE, MAX_RECORD
from plainwire.recording.reader import Reader
from plainwire.recording.writer import Writer

RECORDS: list[AnyRecord] = [
    Header(FORMAT, "0.1.0", "x86_64", "6.18", 5, Settings(max_events=3, pids=(1, 2), comms=("é",))),
    Layout("openssl", b"\x9f\xeb\0"),
    Clock(1, 2**63),
    LibraryFacts(1, "openssl", "/lib/libssl.so.3", None),
    ProcessFacts(1, 2, "curl", None, ("curl", "-s")),
    Samples([b"", b"\0" * 70_000, b"abc"]),
    Losses(9, {"buffer_full": 3}),
    End(10),
]


def write(path: Path, records: list[AnyRecord]) -> bytes:
    with Writer(path) as writer:
        for record in records:
            writer.write(record)
    return path.read_bytes()


def read(content: bytes) -> tuple[list[AnyRecord], int | None]:
    reader = Reader(io.BytesIO(content), "capture.pw")
    return list(reader), reader.cut_at


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("recording") / "file", RECORDS)


def test_what_is_written_is_read(content: bytes) -> None:
    assert read(content) == (RECORDS, None)


def test_each_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    with Writer(tmp_path / "file") as writer:
        for count, record in enumerate(RECORDS[:-1], start=1):
            writer.write(record)
            records, cut_at = read((tmp_path / "file").read_bytes())
            assert (records, cut_at) == (RECORDS[:count], (tmp_path / "file").stat().st_size)


def test_every_cut_gives_the_records_before_it(content: bytes) -> None:
    sizes = [len(content)]  # where each record ends, found from the back
    for cut in [*range(len(FIRST_LINE), 600), *range(len(content) - 300, len(content))]:
        records, cut_at = read(content[:cut])
        assert records == RECORDS[: len(records)]
        assert cut_at is not None
        assert cut_at <= cut
        sizes.append(cut_at)
        assert read(content[:cut_at]) == (records, cut_at)
    assert len(set(sizes)) == len(RECORDS) + 1


def test_a_cut_in_the_first_line(content: bytes) -> None:
    with pytest.raises(RecordingError, match=r"capture\.pw: the recording was cut before its first record"):
        read(content[:5])


@pytest.mark.parametrize("start", [b"", b"\x7fELF", b"plainwire recording", b"plainwire recording 1 \n", b"x" * 100])
def test_other_files_are_refused(start: bytes) -> None:
    with pytest.raises(RecordingError, match=r"^capture\.pw: .*record"):
        read(start)


def test_another_format_is_named() -> None:
    with pytest.raises(RecordingError, match="format 2, but this plainwire reads format 1"):
        read(b"plainwire recording 2\nwhatever")


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0\xc1",
        b"\x05\0\0\0\x92\xa3end\xa1x",
        (100_000).to_bytes(4, "little") + b"\x91" * 100_000,
    ],
)
def test_damage_is_told_with_its_place(content: bytes, damage: bytes) -> None:
    place = len(content) - 10  # the record End: length 4, array 1, tag 4, number 1
    reader = Reader(io.BytesIO(content[:place] + damage), "capture.pw")
    records = []
    with pytest.raises(RecordingError, match=f"capture.pw: the recording is damaged at byte {place}: "):
        for record in reader:
            records.append(record)
    assert records == RECORDS[:-1]


def test_records_without_a_header_are_damage(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="header"):
        read(write(tmp_path / "file", RECORDS[1:]))


def test_many_samples_are_split(tmp_path: Path) -> None:
    samples = [bytes([number]) * 65_000 for number in range(250)] * 5
    written = write(tmp_path / "file", [RECORDS[0], Samples(samples), RECORDS[-1]])
    (_, *parts, _), cut_at = read(written)
    assert cut_at is None
    assert len(parts) > 1
    assert [sample for part in parts for sample in part.samples] == samples  # type: ignore[union-attr]


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, RECORDS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_is_given_to_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    Writer(path, owner=(65534, 65533)).close()
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


def test_names_that_are_no_utf8_are_written_as_outputs_show_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"/tmp/\xff")
    facts = ProcessFacts(1, 2, "curl", name, ("curl", name))
    header = Header(FORMAT, "0.1.0", "x86_64", "6.18", 5, Settings(comms=(name,)))
    (told, first, second, _), _ = read(
        write(tmp_path / "file", [header, facts, LibraryFacts(1, "m", name, None), End(1)])
    )
    assert isinstance(told, Header)
    assert told.settings.comms == ("/tmp/\ufffd",)
    assert first == ProcessFacts(1, 2, "curl", "/tmp/\ufffd", ("curl", "/tmp/\ufffd"))
    assert second == LibraryFacts(1, "m", "/tmp/\ufffd", None)


def test_a_path_that_cant_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing/file: No such file"):
        Writer(tmp_path / "missing" / "file")


def test_a_full_disk_is_told() -> None:
    with pytest.raises(InputError, match=r"/dev/full: .*No space left"):
        write(Path("/dev/full"), RECORDS)


@given(st.binary(max_size=200))
@example(MAX_RECORD.to_bytes(4, "little"))
@example(b"\x0e\0\0\0\x92\xa7samples\xdd\xff\xff\xff\xff")  # claims 2**32 - 1 samples
def test_no_bytes_crash_it(hostile: bytes) -> None:
    for start in (b"", FIRST_LINE):
        try:
            records, cut_at = read(start + hostile)
        except RecordingError as error:
            assert "\n" not in str(error)
        else:
            assert cut_at is not None or isinstance(records[-1], End)
