"""Compares the connections that events name with the addresses that the programs themselves had."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.plainwire import Capture
from tests.support.processes import wait_until

Ends = tuple[Any, Any]  # the addresses of this end and of the other one, each (address, port)


@dataclass(frozen=True, slots=True)
class Said:
    """What peers.py reported: for each text its sender's address, and its receiver's."""

    pid: int
    texts: dict[str, Ends]


def read_said(report: Path) -> Said:
    told = json.loads(report.read_text())
    return Said(told["pid"], {text: (address(ends[0]), address(ends[1])) for text, ends in told["said"].items()})


def address(name: Any) -> Any:
    """A name of getsockname(2) as Python gives it; None for a UNIX socket. IPv4 in an IPv6 socket's name is IPv4."""
    if isinstance(name, str):
        return None, None
    return name[0].removeprefix("::ffff:"), name[1]


def ends_of(event: dict[str, Any]) -> Ends:
    connection = event["connection"]
    assert connection is not None, event["connection_note"]
    local = connection["local_address"], connection["local_port"]
    return local, (connection["remote_address"], connection["remote_port"])


def check_all(
    events: Iterable[dict[str, Any]], said: Said, *, unseen: Collection[tuple[str, str]] = ()
) -> list[dict[str, Any]]:
    """Each text comes twice, written and read, and each event names the very ends that the program had.

    unseen: texts and directions that can't be captured.
    """
    own = [event for event in events if event["kind"] == "data" and event["pid"] == said.pid]
    seen = sorted((base64.b64decode(event["data"]).decode(), event["direction"]) for event in own)
    assert seen == sorted({(text, direction) for text in said.texts for direction in ("read", "write")} - set(unseen))
    for event in own:
        sender, receiver = said.texts[base64.b64decode(event["data"]).decode()]
        assert ends_of(event) == ((sender, receiver) if event["direction"] == "write" else (receiver, sender)), event
    return own


def net_namespace(process: str | int = "self") -> int:
    return Path(f"/proc/{process}/ns/net").stat().st_ino


def peers(certificate: Any, report: Path, family: str, connections: int, threads: int) -> list[str]:
    """The command that runs tls_programs/peers.py."""
    program = Path(__file__).with_name("tls_programs") / "peers.py"
    fixed = [sys.executable, program, certificate.certificate, certificate.key, report, family]
    return [str(part) for part in (*fixed, connections, threads)]


def run_peers(certificate: Any, folder: Path, family: str, connections: int, threads: int = 4) -> Said:
    report = folder / "report.json"
    command = peers(certificate, report, family, connections, threads)
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return read_said(report)


def wait_for_ends(capture: Capture, count: int, *pids: int) -> None:
    """Until so many connections of the processes were told to be closed: a server may close its end late."""
    wait_until(
        lambda: sum(event["pid"] in pids for event in capture.events("close")) >= count,
        f"{count} connections to end",
        20,
    )


def check_openings_and_ends(events: list[dict[str, Any]], *pids: int) -> dict[int, dict[str, Any]]:
    """Each connection that the processes' data name has one `connect` before them and one `close` after them.

    Both have the same number and ends, and the totals are those of the data. Returns the connect events by number.
    """
    events = [event for event in events if event.get("pid") in pids and event["kind"] in ("connect", "data", "close")]
    by_number: dict[int, list[dict[str, Any]]] = {}
    for event in events:
        by_number.setdefault(event["connection"]["id"], []).append(event)
    for told in by_number.values():
        kinds = [event["kind"] for event in told]
        assert kinds == ["connect", *["data"] * (len(told) - 2), "close"], kinds
        opened, closed, data = told[0], told[-1], told[1:-1]
        assert len({ends_of(event) for event in told}) == 1
        assert {event["connection"]["opened"] for event in told} == {opened["time"]}
        assert closed["connection"]["closed"] == closed["time"] > opened["time"]
        assert opened["timestamp_ns"] < data[0]["timestamp_ns"] < closed["timestamp_ns"]
        assert closed["duration_ns"] == closed["timestamp_ns"] - opened["timestamp_ns"]
        assert closed["direction"] == opened["direction"]
        for direction, total in (("read", "read_bytes"), ("write", "written_bytes")):
            assert closed[total] == sum(event["length"] for event in data if event["direction"] == direction)
        assert closed["tcp_received_bytes"] > closed["read_bytes"]
        assert closed["tcp_sent_bytes"] > closed["written_bytes"]
    return {number: told[0] for number, told in by_number.items()}
