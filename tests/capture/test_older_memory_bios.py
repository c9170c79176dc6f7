"""Memory BIOs whose handshake was before the capture: their connections are found by the records that they write."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from plainwire.inspect.process import children
from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.connections import Ends, ends_of, read_said
from tests.support.memory_bios import HTTP_TEXT, asyncio_peers, node_peers, passing_proxy, with_node
from tests.support.plainwire import Capture
from tests.support.processes import wait_until

pytestmark = pytest.mark.bpf


@contextmanager
def waiting(
    command: list[str], port_of: dict[str, int] | None = None, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Runs peers; yields when they have spoken a turn and wait. port_of: gets the server's port, for its proxy."""
    environment = {**os.environ, "PEERS_WAIT": "1", **variables}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        if port_of is not None:
            port_of["server"] = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        yield process


def speak_until_known(process: subprocess.Popen[str], capture: Capture, ends: int) -> None:
    """Turn after turn until the connections of so many ends are known, and one turn more."""
    assert process.stdin
    assert process.stdout
    own = {process.pid, *children(process.pid)}  # strangers may talk at the same time
    for _ in range(200):
        events = [event for event in capture.events("data") if event["pid"] in own and event["connection"]]
        known = {(event["pid"], event["ssl"]) for event in events}
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        if len(known) == ends:
            break
        time.sleep(0.05)
    process.stdin.write("end\n")
    process.stdin.flush()
    assert process.wait(30) == 0


def check_older(events: list[dict[str, Any]], texts: dict[str, Ends], text: re.Pattern[bytes], last: str) -> None:
    """None names a wrong connection, some say why they name none, and those of the last turn name theirs."""
    for event in events:
        [found] = text.findall(base64.b64decode(event["data"])) or [None]
        if event["connection"] is None:
            assert event["connection_note"] == "handshake not seen"
            assert found is None or not found.decode().endswith(last), event
        elif found:
            end = "client" if found.startswith(b"client") == (event["direction"] == "write") else "server"
            assert ends_of(event) == texts[re.sub("client|server", end, found.decode())], event
            assert event["connection"]["way"] == "ciphertext"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "proxy"])
def test_asyncio_older_than_the_capture(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, workers: int, through_proxy: bool
) -> None:
    """The handshakes have passed: records tell, once one was written that the capture saw."""
    report = tmp_path / "report.json"
    peers = asyncio_peers(certificate, report, "127.0.0.1", 10, 1000)
    variables = {"PEERS_WORKERS": str(workers)}
    port_of: dict[str, int] | None = None
    with ExitStack() as stack:
        if through_proxy:
            port_of = {}
            variables["PEERS_PROXY"] = str(stack.enter_context(passing_proxy(port_of)))
        process = stack.enter_context(waiting(peers, port_of, **variables))
        capture = run_plainwire("--json")
        speak_until_known(process, capture, 2 * 10)
    capture.stop()
    reports = [read_said(path) for path in (report, *tmp_path.glob("report.json.*"))]
    texts = {text: ends for said in reports for text, ends in said.texts.items()}
    own = [event for event in capture.events("data") if event["pid"] in {said.pid for said in reports}]
    check_older(own, texts, re.compile(rb"(?:client|server) \d{4}\.\d{4}"), max(texts)[-5:])
    assert len({(event["pid"], event["ssl"]) for event in own if event["connection"]}) == 2 * 10


@with_node
def test_node_older_than_the_capture(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with waiting(node_peers("both", certificate, report, "127.0.0.1", 0, 10, 1000)) as process:
        capture = run_plainwire("--json")
        speak_until_known(process, capture, 2 * 10)
    capture.stop()
    said = read_said(report)
    own = [event for event in capture.events("data") if event["pid"] == said.pid]
    check_older(own, said.texts, HTTP_TEXT, max(said.texts)[-5:])
    assert len({event["ssl"] for event in own if event["connection"]}) == 2 * 10


def links(pid: int) -> Counter[str]:
    """How many of each type of BPF link a process has."""
    found: Counter[str] = Counter()
    for place in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            found.update(re.findall(r"^link_type:\s*(\S+)", place.read_text(), re.MULTILINE))
    return found


def test_what_seeks_goes_when_all_are_known(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    """The probe on BIO_write, and the program that looks for records."""
    with waiting(asyncio_peers(certificate, tmp_path / "report.json", "127.0.0.1", 2, 1000)) as process:
        capture = run_plainwire("--json", "--pid", str(process.pid))
        before = links(capture.pid)
        speak_until_known(process, capture, 2 * 2)
        wait_until(lambda: links(capture.pid) == before, "the probe on BIO_write to go")
    capture.stop()
