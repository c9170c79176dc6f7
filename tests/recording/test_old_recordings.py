"""Recordings of earlier versions are read: what was recorded when a field was not there yet has its default.

recordings/first.plainwire is the first demonstration: real curl, nginx, Python and Node. Its connections have no inode.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from plainwire.decode.btf import Btf
from plainwire.decode.records import Layout
from plainwire.recording.reader import Reader
from tests.support.plainwire import plainwire

FIRST = Path(__file__).with_name("recordings") / "first.plainwire"


def test_the_first_recording() -> None:
    with FIRST.open("rb") as file:
        objects = [Btf(record.btf) for record in Reader(file, "first") if isinstance(record, Layout)]
    (connection,) = [found for btf in objects if (found := btf.struct("connection_t"))]
    assert "inode" not in {member.name for member in connection.members}
    read = plainwire("read", "--json", FIRST)
    assert read.returncode == 0, read.stderr
    events = [json.loads(line) for line in read.stdout.splitlines()]
    data = [event for event in events if event["kind"] == "data"]
    assert {event["missing"] for event in data} == {0}
    assert events[-1]["kind"] == "stats" and events[-1]["complete"]
    assert events[-1]["bytes"] == sum(len(base64.b64decode(event["data"])) for event in data)
    sent = [base64.b64decode(event["data"]) for event in data if event["direction"] == "write"]
    assert any(text.startswith(b"GET /account.json HTTP/1.1\r\n") for text in sent)
    local = {event["connection"]["local_address"] for event in data if event["connection"]}
    assert local == {"127.0.0.1"}
