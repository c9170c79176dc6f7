from __future__ import annotations

import stat
from pathlib import Path

import pytest

from plainwire.errors import InputError
from plainwire.outputs.keylog import open_keylog
from tests.support.events import data_event, secret_event

RANDOM = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
SECRET = RANDOM + "202122232425262728292a2b2c2d2e2f"
LINE = f"EXPORTER_SECRET {RANDOM} {SECRET}\n"


def test_a_line_for_each_secret_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    output = open_keylog(path)
    output.write([data_event(b"x"), secret_event(), data_event(b"y"), secret_event("CLIENT_RANDOM")])
    assert path.read_text() == LINE + f"CLIENT_RANDOM {RANDOM} {SECRET}\n"  # before it is closed
    output.close()


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    open_keylog(tmp_path / "keys").close()
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_both_ends_of_a_connection_give_one_line(tmp_path: Path) -> None:
    output = open_keylog(tmp_path / "keys")
    output.write([secret_event(pid=1), secret_event(pid=2)])
    output.write([secret_event(pid=3)])
    assert (tmp_path / "keys").read_text() == LINE
    output.close()


@pytest.mark.parametrize(("before", "after"), [("# made by another\n", ""), ("CLIENT_RANDOM 00", "\n")])
def test_appends(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "keys"
    path.write_text(before)
    output = open_keylog(path)
    output.write([secret_event()])
    output.close()
    assert path.read_text() == before + after + LINE


def test_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    output = open_keylog(Path("-"))
    output.write([secret_event()])
    output.close()
    assert capfd.readouterr().out == LINE


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't write"):
        open_keylog(tmp_path)
