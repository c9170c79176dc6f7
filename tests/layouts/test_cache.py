from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from plainwire.layouts import cache
from plainwire.layouts.layout import Finding, Layout

LAYOUT = Layout(
    file="/usr/lib/libssl.so.3",
    identity="ab" * 20,
    build_id="cd" * 20,
    machine="x86_64",
    implementation="OpenSSL",
    version="3.0.19",
    values={
        "version": Finding.of({"getters": (0,), "calibration": (0,)}),
        "session": Finding.of({"getters": (0x918,), "calibration": (0x910,)}),
    },
    notes=("a note",),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache" / "layouts"
    monkeypatch.setattr(cache, "folder", lambda: place)
    return place


def test_what_was_saved_is_loaded(folder: Path) -> None:
    assert cache.load(LAYOUT.identity) is None
    cache.save(LAYOUT)
    assert cache.load(LAYOUT.identity) == LAYOUT
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o777 == (0o644 if os.geteuid() == 0 else 0o600)


def test_another_builds_file_is_not_taken(folder: Path) -> None:
    cache.save(LAYOUT)
    (folder / f"{LAYOUT.identity}.json").rename(folder / "other.json")
    assert cache.load("other") is None


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_not_taken(folder: Path, mode: int) -> None:
    cache.save(LAYOUT)
    (folder / f"{LAYOUT.identity}.json").chmod(mode)
    assert cache.load(LAYOUT.identity) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_strangers_file_is_not_taken(folder: Path) -> None:
    cache.save(LAYOUT)
    os.chown(folder / f"{LAYOUT.identity}.json", 65534, 65534)
    assert cache.load(LAYOUT.identity) is None


def test_a_link_is_not_followed(folder: Path) -> None:
    cache.save(LAYOUT)
    file = folder / f"{LAYOUT.identity}.json"
    file.rename(folder / "elsewhere")
    file.symlink_to("elsewhere")
    assert cache.load(LAYOUT.identity) is None


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        {"values": {"version": {"path": [0], "by_way": {"getters": [8]}}}},  # not what its way says
        {"values": {"session": {"path": [8], "by_way": {"getters": [8], "calibration": [0x10]}}}},
        {"values": {"version": {"path": [1 << 20], "by_way": {"getters": [1 << 20]}}}},
        {"values": {"version": {"path": [-8], "by_way": {"getters": [-8]}}}},
        {"values": {"version": {"path": [0] * 5, "by_way": {"getters": [0] * 5}}}},
        {"values": {"password": {"path": [0], "by_way": {"getters": [0]}}}},
        {"more": 1},
    ],
)
def test_a_damaged_file_is_not_taken(folder: Path, change: bytes | dict[str, object]) -> None:
    cache.save(LAYOUT)
    data = change if isinstance(change, bytes) else msgspec.json.encode(msgspec.to_builtins(LAYOUT) | change)
    (folder / f"{LAYOUT.identity}.json").write_bytes(data)
    assert cache.load(LAYOUT.identity) is None


def test_a_folder_that_can_not_be_written_does_no_harm(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    cache.save(LAYOUT)
    assert cache.load(LAYOUT.identity) is None
