"""`plainwire connections` on real connections, which their own ends judge."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificate import Certificate
from tests.support.namespaces import two_hosts
from tests.support.plainwire import COMMAND, plainwire
from tests.support.processes import wait_until
from tests.support.servers import Server
from tests.support.tls_program import Told

pytestmark = pytest.mark.bpf

CIPHER = "ECDHE-RSA-AES128-GCM-SHA256"


@contextmanager
def client(port: int, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[ssl.SSLSocket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    context.set_ciphers(CIPHER)
    with socket.create_connection(("127.0.0.1", port)) as tcp, context.wrap_socket(tcp) as tls:
        yield tls


@contextmanager
def talking(*ends: ssl.SSLSocket) -> Iterator[None]:
    """An exchange of 100 bytes on each, ten times a second."""
    stopped = threading.Event()

    def talk() -> None:
        while not stopped.wait(0.1):
            for end in ends:
                end.sendall(b"x" * 100)
                assert end.recv(100) == b"x" * 100

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def listed(*arguments: str | Path) -> list[dict[str, Any]]:
    finished = plainwire("connections", "--once", "--json", *arguments)
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_busy_and_idle_connections_of_a_server(python_echo_server: Server) -> None:
    server = python_echo_server
    with (
        client(server.port) as new,
        client(server.port, ssl.TLSVersion.TLSv1_2) as old,
        client(server.port) as idle,
        talking(new, old),
    ):
        found = {one["remote_port"]: one for one in listed("--pid", str(server.pid), "--duration", "3")}
        ports = {end: end.getsockname()[1] for end in (new, old, idle)}
        assert found.keys() == set(ports.values())
        for one in found.values():
            assert (one["kind"], one["pid"], one["comm"]) == ("connection", server.pid, Path(sys.executable).name[:15])
            assert (one["family"], one["local_address"], one["remote_address"]) == ("IPv4", "127.0.0.1", "127.0.0.1")
            assert one["local_port"] == server.port
            assert one["age_ns"] is None  # older than the capture
            assert one["net_namespace"] == Path("/proc/self/ns/net").stat().st_ino
        for end in (new, old):
            one = found[ports[end]]
            assert (one["tls_version"], one["cipher"]) == (end.version(), end.cipher()[0])
            assert one["read_bytes"] % 100 == 0
            assert one["read_bytes"] >= 100
            assert abs(one["read_bytes"] - one["written_bytes"]) <= 100
        assert found[ports[old]]["cipher"] == CIPHER
        assert {found[ports[idle]][name] for name in ("tls_version", "cipher")} == {None}
        assert found[ports[idle]]["read_bytes"] == 0


def test_filters(python_echo_server: Server) -> None:
    server = python_echo_server
    port = str(server.port)
    with client(server.port) as end, talking(end):
        own, theirs = (str(os.getpid()), str(server.pid))
        assert {one["pid"] for one in listed("--pid", own, "--pid", theirs) if port in map(str, one.values())} == {
            os.getpid(),
            server.pid,
        }
        assert listed("--pid", theirs, "--comm", "nobody has this") == []
        assert listed("--pid", theirs, "--uid", "54321") == []
        assert [one["pid"] for one in listed("--pid", theirs, "--uid", str(os.getuid()))] == [server.pid]


def test_in_another_network_namespace(certificate: Certificate) -> None:
    program = Path(__file__).parents[1] / "support" / "echo_server.py"
    with two_hosts() as (one, _):
        command = [sys.executable, program, "8443", certificate.certificate, certificate.key, "any"]
        with one.entered(), subprocess.Popen(command) as server:
            try:
                connected: list[bool] = []

                def answers() -> bool:
                    try:
                        with client(8443):
                            connected.append(True)
                    except OSError:
                        return False
                    return True

                wait_until(answers, "the server")
                with client(8443) as end:
                    (found,) = [
                        row for row in listed("--pid", str(server.pid)) if row["remote_port"] == end.getsockname()[1]
                    ]
                    assert found["net_namespace"] == Path(f"/proc/{server.pid}/ns/net").stat().st_ino
                    assert (found["local_address"], found["local_port"]) == ("127.0.0.1", 8443)
            finally:
                server.terminate()
    assert connected


def test_a_connection_without_a_socket(tmp_path: Path, certificate: Certificate) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as program:
        stopped = threading.Event()

        def talk() -> None:
            while not stopped.wait(0.1):
                program.say("hello")

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            ends = listed("--pid", str(program.pid))
        finally:
            stopped.set()
            thread.join()
    assert [(end["local_address"], end["tls_version"]) for end in ends] == [(None, "TLSv1.3")] * 2
    assert all(end["connection_note"] for end in ends)


def test_a_table_in_a_file_is_whole(python_echo_server: Server) -> None:
    with client(python_echo_server.port) as end, talking(end):
        finished = plainwire("connections", "--pid", str(python_echo_server.pid), "--duration", "1")
    assert "no terminal" in finished.stderr
    summary, titles, row = finished.stdout.splitlines()
    assert summary.strip() == "1 connection of 1 process"
    assert titles.split()[0] == "PROCESS"
    assert f"127.0.0.1:{end_port(row)}" in row
    assert "TLS_" in row


def end_port(row: str) -> str:
    ports = re.findall(r"127\.0\.0\.1:(\d+)", row)
    assert len(ports) == 2
    return str(ports[1])


def test_json_needs_once() -> None:
    finished = plainwire("connections", "--json")
    assert finished.returncode != 0
    assert "--once" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


class Terminal:
    """A pseudo-terminal with `plainwire connections` on it."""

    def __init__(self, *arguments: str, columns: int, lines: int) -> None:
        self.screen = b""
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        environment = {**os.environ, "TERM": "xterm"}
        for name in ("COLUMNS", "LINES"):  # which would hide the terminal's own size
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [COMMAND, "connections", *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        try:
            while read := os.read(self._master, 65536):
                self.screen += read
        except OSError:
            pass  # closed

    def text(self) -> str:
        """What is shown: since the screen was last drawn from its top, without colours."""
        drawn = self.screen.decode(errors="replace").rpartition("\x1b[H")[2]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)


def test_live(python_echo_server: Server) -> None:
    server = python_echo_server
    terminal = Terminal("--pid", str(server.pid), columns=120, lines=12)
    try:
        wait_until(lambda: "0 connections" in terminal.text(), "an empty table", 20)
        with client(server.port) as end, talking(end):
            row = (
                rf"127\.0\.0\.1:{end.getsockname()[1]} +1\.3 +TLS_\w+ +[1-9][\d.]* (B|kB) +[1-9][\d.]* (B|kB) +\d+:\d\d"
            )
            wait_until(lambda: re.search(row, terminal.text()) is not None, "the connection", 20)
            terminal.resize(60, 12)
            wait_until(lambda: "CIPHER" not in terminal.text() and "REMOTE" in terminal.text(), "fewer columns")
            assert all(len(line.rstrip()) <= 60 for line in terminal.text().splitlines())
        wait_until(lambda: "0 connections" in terminal.text(), "the connection's end", 20)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(10) == 0
        for sequence in (b"\x1b[?25h", b"\x1b[?1049l"):  # the cursor is back, and what was on the terminal before
            wait_until(lambda: sequence in terminal.screen, "the terminal as it was")  # noqa: B023
    finally:
        terminal.process.kill()
        terminal.process.wait()
