from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from plainwire.outputs.hexdump import hexdump


def test_rows() -> None:
    assert hexdump(b"GET / HTTP/1.1\r\n\x00\xff~", 0x4000) == (
        b"00004000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n"
        b"00004010  00 ff 7e                                          |..~|\n"
    )
    assert hexdump(b"") == b""


@pytest.mark.skipif(shutil.which("hexdump") is None, reason="hexdump is not installed")
@pytest.mark.parametrize("length", [1, 15, 16, 17, 4096, 16384, 16385, 40000])
def test_equal_to_hexdump(length: int) -> None:
    data = random.Random(length).randbytes(length)
    judge = subprocess.run(["hexdump", "-v", "-C"], input=data, capture_output=True, check=True).stdout
    assert hexdump(data) == judge[: judge.rindex(b"\n", 0, -1) + 1]  # its last line is the length alone
