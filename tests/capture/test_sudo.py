"""Under sudo: COMMAND runs as the user who called it, and the files are that user's."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

import pytest

from tests.support.plainwire import COMMAND

pytestmark = pytest.mark.bpf

NOBODY = pwd.getpwnam("nobody")
SCRIPT = "id -u; id -g; id -G; echo $USER; echo $HOME"


@pytest.mark.parametrize("uid", [NOBODY.pw_uid, 54321], ids=["known", "unknown"])
def test_command_and_files_are_the_callers(tmp_path: Path, uid: int) -> None:
    out, record = tmp_path / "out", tmp_path / "record"
    finished = subprocess.run(
        [COMMAND, "capture", "--out", out, "--record", record, "--", "sh", "-c", SCRIPT],
        env={"SUDO_UID": str(uid), "SUDO_GID": "12345", "PATH": "/usr/bin:/bin", "USER": "root", "HOME": "/root"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    *ids, user, home = finished.stdout.splitlines()
    if uid == NOBODY.pw_uid:
        assert (ids[:2], user, home) == ([str(uid), "12345"], "nobody", NOBODY.pw_dir)
    else:
        assert ids == [str(uid), "12345", "12345"]
    assert "0" not in ids[2].split()
    for path in (out, record):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, 12345)
