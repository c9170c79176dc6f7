"""--pid, --comm and --uid choose packets, and each bears its process: forked workers, shared ports, users."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.namespaces import Host, two_hosts
from tests.support.plainwire import COMMAND
from tests.support.processes import wait_until
from tests.support.tshark import tshark

pytestmark = pytest.mark.bpf

SUPPORT = Path(__file__).parents[1] / "support"
PORT = 8300
NOBODY = 65534


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


@contextmanager
def servers(host: Host, kind: str, protocol: str, count: int = 3) -> Iterator[list[int]]:
    """The pids of the process that made the socket, and of its children, which share the port."""
    program = SUPPORT / "who_answers.py"
    command = host.command(sys.executable, program, kind, protocol, host.ipv4, str(PORT), str(count))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield [process.pid, *map(int, process.stdout.readline().split())]
        process.stdin.close()


def ask(host: Host, server: Host, protocol: str, times: int = 30) -> dict[int, int]:
    """Who answered, by the client's port."""
    command = host.command(sys.executable, SUPPORT / "ask_many.py", protocol, server.ipv4, str(PORT), str(times))
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return {int(port): int(pid) for port, pid in map(str.split, printed.splitlines())}


@contextmanager
def capturing(host: Host, trace: Path, *arguments: str) -> Iterator[Path]:
    """`plainwire capture` meanwhile; the file of its messages."""
    messages = trace.with_suffix(".stderr")
    command = host.command(COMMAND, "capture", "--no-data", "--pcapng", trace, "--out", os.devnull, *arguments)
    with messages.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            wait_until(lambda: "capturing" in messages.read_text(), "the capture to begin", 30)
            yield messages
            time.sleep(0.3)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, messages.read_text()


def packets(trace: Path, protocol: str) -> list[tuple[int, int | None]]:
    """Of each packet: the client's port and the process that its comment tells."""
    fields = (f"{protocol}.srcport", f"{protocol}.dstport", "frame.comment")
    found: list[tuple[int, int | None]] = []
    for source, destination, comment in tshark(trace, protocol, *fields):
        pid = int(comment.split()[0].removeprefix("pid=")) if comment.startswith("pid=") else None
        found.append((int(destination) if int(source) == PORT else int(source), pid))
    return found


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("kind", ["forked", "reuse"])
def test_servers_on_one_port_have_the_packets_of_their_own_clients(
    hosts: tuple[Host, Host], tmp_path: Path, kind: str, protocol: str
) -> None:
    one, two = hosts
    trace = tmp_path / "trace.pcapng"
    with servers(two, kind, protocol) as pids, capturing(two, trace, "-i", "veth0", f"{protocol} port {PORT}"):
        answered = ask(one, two, protocol)
    assert len(set(answered.values())) >= 2 or (kind, protocol) == ("forked", "udp")
    found = packets(trace, protocol)
    assert len(found) >= 2 * len(answered)
    if kind == "forked" and protocol == "udp":
        # A datagram waits in a socket that several processes read: who will take it is not known when it comes. It is
        # said to be of who used the socket last, or made it.
        assert {pid for _, pid in found} <= set(pids)
        return
    # Before it has read the question, a process that is slow to accept a shared socket's connection is not known.
    assert {pid for _, pid in found} <= set(pids)
    first_answer = {port: place for place, port in reversed(list(enumerate(answers(trace, protocol)))) if port}
    late = [(port, pid) for place, (port, pid) in enumerate(found) if kind == "reuse" or place >= first_answer[port]]
    assert set(late) == set(answered.items())


def answers(trace: Path, protocol: str) -> list[int | None]:
    """Of each packet that brings an answer, the client's port."""
    fields = (f"{protocol}.srcport", f"{protocol}.dstport", "tcp.len" if protocol == "tcp" else "udp.length")
    rows = tshark(trace, protocol, *fields)
    return [int(to) if int(source) == PORT and int(size) > 0 else None for source, to, size in rows]


@pytest.mark.parametrize(("kind", "protocol"), [("forked", "tcp"), ("reuse", "tcp"), ("reuse", "udp")])
@pytest.mark.parametrize("on", ["veth0", "lo"])
def test_pid_chooses_the_packets_of_one_of_them(
    hosts: tuple[Host, Host], tmp_path: Path, kind: str, protocol: str, on: str
) -> None:
    """On loopback too, where a packet is wanted for its receiver's sake."""
    server = hosts[1]
    client = server if on == "lo" else hosts[0]
    trace = tmp_path / "trace.pcapng"
    with (
        servers(server, kind, protocol, 2) as pids,
        capturing(server, trace, "--pid", str(pids[1]), "-i", on, f"{protocol} port {PORT}"),
    ):
        answered = ask(client, server, protocol)
    wanted = {port for port, pid in answered.items() if pid == pids[1]}
    assert 0 < len(wanted) < len(answered)
    found = packets(trace, protocol)
    assert {port for port, _ in found} == wanted
    # A connection that the other process has accepted meanwhile leaves nothing, not even its handshake.
    assert len(found) >= 2 * len(wanted)


def test_comm_and_uid_choose_packets(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    one, two = hosts
    traces = {option: tmp_path / f"{option}.pcapng" for option in ("comm", "uid")}
    client = "import socket,sys; s = socket.create_connection((sys.argv[1], 8300)); s.send(b'x'); s.recv(9)"
    program = f"open('/proc/self/comm', 'w').write(sys.argv[2]); {client}"
    expected: dict[str, int] = {}
    with (
        servers(two, "reuse", "tcp", 1),
        capturing(one, traces["comm"], "--comm", "wanted client", "-i", "veth0", f"tcp port {PORT}"),
        capturing(one, traces["uid"], "--uid", str(NOBODY), "-i", "veth0", f"tcp port {PORT}"),
    ):
        for option, name, user in (("none", "other", 0), ("comm", "wanted client", 0), ("uid", "other", NOBODY)):
            command = ["/usr/bin/python3", "-c", f"import sys; {program}", two.ipv4, name]
            with one.entered():
                process = subprocess.Popen(command, user=user)
            assert process.wait(20) == 0
            expected[option] = process.pid
    for option, trace in traces.items():
        found = packets(trace, "tcp")
        assert {pid for _, pid in found} == {expected[option]}
        assert len(found) >= 8  # its SYN and pure ACKs too
    comments = {row[0] for row in tshark(traces["comm"], "tcp", "frame.comment")}
    assert comments == {f"pid={expected['comm']} uid=0 comm=wanted client"}


def test_the_share_of_packets_without_a_process_is_told(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """Nobody listens at the port: the kernel itself refuses, on behalf of no process."""
    one, two = hosts
    trace = tmp_path / "trace.pcapng"
    with capturing(two, trace, "-i", "veth0", f"udp port {PORT + 1} or icmp") as messages, one.entered():
        subprocess.run(["bash", "-c", f"for i in 1 2 3; do echo x >/dev/udp/{two.ipv4}/{PORT + 1}; done"], check=True)
    told = messages.read_text()
    rows = tshark(trace, "udp", "frame.comment")
    assert rows and all(row == ["process unknown"] for row in rows)
    assert f"{len(rows)} packets, of which 0.0 % with their process" in told


def test_a_file_cut_by_sigkill_is_read_up_to_the_cut(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    host = hosts[0]
    trace = tmp_path / "trace.pcapng"
    messages = tmp_path / "messages"
    command = host.command(COMMAND, "capture", "--no-data", "-i", "lo", "--pcapng", trace, "--out", os.devnull, "icmp")
    with messages.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        wait_until(lambda: "capturing" in messages.read_text(), "the capture to begin", 30)
        flood = host.command("ping", "-q", "-i", "0.001", "-c", "1000", "127.0.0.1")
        with subprocess.Popen(flood, stdout=subprocess.DEVNULL) as ping:
            wait_until(lambda: trace.stat().st_size > 50_000, "packets in the file", 20)
            process.kill()
            process.wait()
            ping.kill()
    numbers = [int(row[0]) for row in tshark(trace, "icmp.type == 8", "icmp.seq")]  # fails for a damaged file
    assert len(numbers) >= 50
    assert numbers == list(range(1, len(numbers) + 1))
