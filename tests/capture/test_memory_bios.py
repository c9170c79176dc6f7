"""Programs that move TLS records themselves (memory BIOs): each event names the connection that the program had."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.connections import Ends, check_all, check_openings_and_ends, ends_of, net_namespace, read_said
from tests.support.memory_bios import HTTP_TEXT, asyncio_peers, node_peers, passing_proxy, with_node
from tests.support.namespaces import two_hosts
from tests.support.tls_program import PROGRAMS

pytestmark = pytest.mark.bpf


def check_http(events: Iterable[dict[str, Any]], pid: int, texts: dict[str, Ends], *, names: set[str]) -> list[Any]:
    """Every event of a process is of the connection that its text went on; exactly these texts came, written and read.

    names: "write client" and so on: what the process does.
    """
    own = [event for event in events if event["kind"] == "data" and event["pid"] == pid]
    seen = set()
    for event in own:
        found = HTTP_TEXT.findall(base64.b64decode(event["data"]))
        assert len(found) <= 1
        assert event["connection"] is not None, event["connection_note"]
        if found:
            text = found[0].decode()
            sender, receiver = texts[text]
            expected = (sender, receiver) if event["direction"] == "write" else (receiver, sender)
            assert ends_of(event) == expected, event
            seen.add((f"{event['direction']} {text[:6]}", text))
    assert seen == {(name, text) for text in texts for name in names if name.endswith(text[:6])}
    return own


ALL = {"write client", "read client", "write server", "read server"}


@pytest.mark.parametrize(
    ("host", "family", "variables"),
    [
        ("127.0.0.1", "IPv4", {}),
        ("::1", "IPv6", {}),
        ("127.0.0.1", "IPv4", {"PEERS_MAPPED": "1"}),
        pytest.param(
            "127.0.0.1",
            "IPv4",
            {"PEERS_LOOP": "uvloop"},
            marks=pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"),
        ),
    ],
    ids=["ipv4", "ipv6", "mapped", "uvloop"],
)
def test_asyncio(
    run_plainwire: RunPlainwire,
    certificate: Certificate,
    tmp_path: Path,
    host: str,
    family: str,
    variables: dict[str, str],
) -> None:
    """A hundred at once, both ends in one process, several texts on each."""
    report = tmp_path / "report.json"
    command = ["env", *(f"{name}={value}" for name, value in variables.items())]
    capture = run_plainwire("--json", "--", *command, *asyncio_peers(certificate, report, host, 100, 3))
    assert capture.wait() == 0
    events = check_all(capture.events(), read_said(report))
    assert len(events) == 100 * 3 * 4
    for event in events:
        assert (event["connection"]["family"], event["connection"]["way"]) == (family, "client_random")
        assert event["connection"]["net_namespace"] == net_namespace()
        assert event["fd"] is not None
    assert len({event["connection"]["id"] for event in events}) == 2 * 100
    assert len(check_openings_and_ends(capture.events(), events[0]["pid"])) == 2 * 100


def test_forked_workers(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """Their SSL structures have equal addresses."""
    report = tmp_path / "report.json"
    command = ["env", "PEERS_WORKERS=4", *asyncio_peers(certificate, report, "127.0.0.1", 40, 2)]
    capture = run_plainwire("--json", "--", *command)
    assert capture.wait() == 0
    reports = [read_said(path) for path in (report, *tmp_path.glob("report.json.*"))]
    texts = {text: ends for said in reports for text, ends in said.texts.items()}
    assert len(texts) == 40 * 2 * 2
    for said in reports:
        own = [event for event in capture.events("data") if event["pid"] == said.pid]
        spoken = {base64.b64decode(event["data"]).decode() for event in own if event["direction"] == "write"}
        assert spoken == said.texts.keys()
        for event in own:
            sender, receiver = texts[base64.b64decode(event["data"]).decode()]
            assert ends_of(event) == ((sender, receiver) if event["direction"] == "write" else (receiver, sender))


def test_http_client_over_ssl_objects(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """Threads, each with connections of its own that it keeps."""
    report = tmp_path / "report.json"
    program = [sys.executable, PROGRAMS / "sslobject_peers.py", certificate.certificate, certificate.key, report]
    capture = run_plainwire("--json", "--", *program, "20", "3")
    assert capture.wait() == 0
    said = read_said(report)
    assert len(said.texts) == 20 * 3 * 2
    events = check_http(capture.events(), said.pid, said.texts, names=ALL)
    assert {event["connection"]["way"] for event in events} == {"client_random"}


@with_node
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_node_with_itself(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, host: str) -> None:
    """Client and server in one process: the role in the structure tells which end is which."""
    report = tmp_path / "report.json"
    capture = run_plainwire("--json", "--", *node_peers("both", certificate, report, host, 0, 100, 3))
    assert capture.wait() == 0
    said = read_said(report)
    assert len(said.texts) == 100 * 3 * 2
    events = check_http(capture.events(), said.pid, said.texts, names=ALL)
    assert len({event["connection"]["id"] for event in events}) == 2 * 100


@with_node
def test_node_client_and_forked_servers(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """The primary of a cluster accepts connections and hands them to its workers."""
    capture = run_plainwire("--json")
    serve = ["env", "PEERS_WORKERS=3", *node_peers("server", certificate, tmp_path / "server", "127.0.0.1", 0)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        port = int(server.stdout.readline())
        subprocess.run(
            node_peers("client", certificate, tmp_path / "client", "127.0.0.1", port, 30, 2), check=True, timeout=60
        )
        server.send_signal(signal.SIGTERM)
    capture.stop()
    client = read_said(tmp_path / "client")
    workers = [read_said(path) for path in tmp_path.glob("server.*")]
    texts = client.texts | {text: ends for worker in workers for text, ends in worker.texts.items()}
    assert len(texts) == 30 * 2 * 2
    check_http(capture.events(), client.pid, texts, names={"write client", "read server"})
    for worker in workers:
        own = {name: ends for name, ends in texts.items() if name.replace("client", "server") in worker.texts}
        check_http(capture.events(), worker.pid, own, names={"read client", "write server"})


def test_through_a_proxy_on_this_host(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """It receives and sends the very hello of the client: nobody is given one of its connections."""
    report = tmp_path / "report.json"
    port_of: dict[str, int] = {}
    with passing_proxy(port_of) as proxy:
        capture = run_plainwire("--json")
        command = ["env", f"PEERS_PROXY={proxy}", *asyncio_peers(certificate, report, "127.0.0.1", 50, 2)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            port_of["server"] = int(process.stdout.readline())
            assert process.wait(60) == 0
        capture.stop()
    said = read_said(report)
    own = [event for event in capture.events("data") if event["pid"] == said.pid]
    assert len(own) == 50 * 2 * 4
    for event in own:
        text = base64.b64decode(event["data"]).decode()
        end = "client" if text.startswith("client") == (event["direction"] == "write") else "server"
        assert ends_of(event) == said.texts[re.sub("client|server", end, text)], event


def test_equal_addresses_stay_apart(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """Two network namespaces without a way to each other, in both of which the same addresses and ports talk."""
    names = [f"plainwire-{os.getpid()}-{number}" for number in range(2)]
    reports = [tmp_path / name for name in names]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        capture = run_plainwire("--json")
        commands = [
            [
                "ip",
                "netns",
                "exec",
                name,
                "env",
                "PEERS_PORTS=4433,40100",
                *asyncio_peers(certificate, report, "127.0.0.1", 4, 2),
            ]
            for name, report in zip(names, reports, strict=True)
        ]
        processes = [subprocess.Popen(command) for command in commands]
        assert [process.wait(60) for process in processes] == [0, 0]
        capture.stop()
        namespaces = [Path(f"/run/netns/{name}").stat().st_ino for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
    said = [read_said(report) for report in reports]
    assert said[0].texts == said[1].texts
    for one, namespace in zip(said, namespaces, strict=True):
        events = check_all(capture.events(), one)
        assert {event["connection"]["net_namespace"] for event in events} == {namespace}


@with_node
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_node_on_two_hosts(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, family: str) -> None:
    """Namespaces joined by veth: the client's hello leaves the one and comes to the other."""
    with two_hosts() as (here, there):
        capture = run_plainwire("--json")
        address: str = getattr(there, family)
        serve = there.command(*node_peers("server", certificate, tmp_path / "server", address, 0))
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            port = int(server.stdout.readline())
            client = here.command(*node_peers("client", certificate, tmp_path / "client", address, port, 5, 2))
            subprocess.run(client, check=True, timeout=60)
            server.send_signal(signal.SIGTERM)
        capture.stop()
        namespaces = [Path(f"/run/netns/{host.name}").stat().st_ino for host in (here, there)]
    ends = [read_said(tmp_path / role) for role in ("client", "server")]
    texts = ends[0].texts | ends[1].texts
    assert len(texts) == 5 * 2 * 2
    names = {"write client", "read server"}, {"read client", "write server"}
    for said, namespace, does in zip(ends, namespaces, names, strict=True):
        events = check_http(capture.events(), said.pid, texts, names=does)
        assert {event["connection"]["net_namespace"] for event in events} == {namespace}
