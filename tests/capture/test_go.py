"""Go programs of the oldest and the newest toolchain: both ends captured, and what they wrote and read themselves."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from plainwire.inspect.process import children
from tests.conftest import RunPlainwire
from tests.support import go
from tests.support.certificate import Certificate
from tests.support.plainwire import Capture, Event, plainwire
from tests.support.processes import free_port, running, wait_until
from tests.support.servers import Server
from tests.support.streams import bytes_of
from tests.support.tcpdump import packets, tcpdump

pytestmark = pytest.mark.bpf

STRIPPED = ("-ldflags=-s -w", "-trimpath")
Streams = dict[int, bytes]


@contextmanager
def go_server(program: Path, certificate: Certificate, *flags: str | Path) -> Iterator[tuple[int, int]]:
    """Runs `PROGRAM server`; its pid and port."""
    port = free_port()
    files = (certificate.certificate, certificate.key)
    with running([program, "server", f"127.0.0.1:{port}", *files, *flags], port=port) as process:
        yield process.pid, port


def run(command: Sequence[str | Path]) -> tuple[int, str]:
    """Runs a client, which must succeed, on few threads; its pid and what it prints."""
    environment = {**os.environ, "GOMAXPROCS": "2"}
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=environment) as process:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return process.pid, output


def streams(events: Sequence[Event], pid: int, direction: str, end: str, way: str = "net_conn") -> Streams:
    """The bytes of each connection by its client's port: the `end`_port of the process."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for event in events:
        if event["kind"] == "data" and event["pid"] == pid and event["direction"] == direction:
            assert event["module"] == "gotls"
            assert event["missing"] == 0
            assert event["connection"]["way"] == way
            found[event["connection"][f"{end}_port"]].append(base64.b64decode(event["data"]))
    return {port: b"".join(parts) for port, parts in found.items()}


def mapped(pid: int, name: str) -> str:
    """The path of a library that a process maps."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split()[-1] for line in lines if name in line)


def recorded(folder: Path, kind: str) -> Streams:
    """What a program said itself that it wrote or read."""
    return {int(path.stem): path.read_bytes() for path in folder.glob(f"*.{kind}")}


def exchange(
    run_plainwire: RunPlainwire,
    program: Path,
    certificate: Certificate,
    folder: Path,
    *flags: str,
    version: int = 13,
    way: str = "net_conn",
    server_flags: tuple[str, ...] = (),
) -> tuple[Capture, int]:
    """An exchange between two processes, whose events are compared with what they recorded; the client's pid.

    The server runs before the capture begins: the program is attached then, so a client misses nothing.
    """
    ends = {name: folder / name for name in ("server", "client")}
    for path in ends.values():
        path.mkdir()
    common = ["-version", str(version)]
    with go_server(program, certificate, *common, "-out", ends["server"], *server_flags) as (server, port):
        capture = run_plainwire("--json", "--module", "gotls")
        client, _ = run([program, "client", f"127.0.0.1:{port}", *common, "-out", ends["client"], *flags])
        # The server may still be writing its files down.
        sent = recorded(ends["client"], "written")
        deadline = time.monotonic() + 20
        while recorded(ends["server"], "read") != sent and time.monotonic() < deadline:
            time.sleep(0.02)
    assert capture.stop() == 0
    events = capture.events()
    for direction, kind in (("write", "written"), ("read", "read")):
        assert streams(events, client, direction, "local", way) == recorded(ends["client"], kind)
        assert streams(events, server, direction, "remote", way) == recorded(ends["server"], kind)
    stats = events[-1]
    assert stats["kind"] == "stats" and stats["losses"] == {}
    return capture, client


@pytest.mark.parametrize("tls", [12, 13])
@pytest.mark.parametrize(
    "build", [("1.15",), ("1.21.13",), (go.NEWEST,), (go.NEWEST, *STRIPPED, "-buildmode=pie")], ids=" ".join
)
def test_both_ends_tell_the_same(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, build: tuple[str, ...], tls: int
) -> None:
    """Go 1.15 passes arguments on the stack, the newest in registers."""
    version, *flags = build
    program = go.build(version, "exchange", *flags)
    capture, _ = exchange(run_plainwire, program, certificate, tmp_path, "-rounds", "5", "-size", "1000", version=tls)
    versions = {event["tls_version"] for event in capture.events("data")}
    assert versions == {f"TLSv1.{tls - 10}"}


def test_programs_of_a_command_miss_nothing_while_their_module_is_loaded(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    """curl needs the one module and Go the other, each for the first time: both wait until they are attached to."""
    program, out = go.build(go.NEWEST, "exchange"), tmp_path / "out"
    out.mkdir()
    with go_server(program, certificate, "-out", tmp_path) as (_, port):
        go_client = f"exec {program} client 127.0.0.1:{port} -out {out} -size 20000 -rounds 3"
        script = f"curl -sk https://127.0.0.1:{port}/; {go_client}"
        capture = run_plainwire("--json", "--", "sh", "-c", script)
        assert capture.wait() == 0
    events = capture.events("data")
    (curl,) = {event["pid"] for event in events if event["module"] == "openssl"}
    assert bytes_of(events, curl, "write")[0].startswith(b"GET / HTTP/1.1\r\n")
    (pid,) = {event["pid"] for event in events if event["module"] == "gotls"}
    for direction, kind in (("write", "written"), ("read", "read")):
        assert streams(events, pid, direction, "local") == recorded(out, kind)
    assert capture.events("stats")[0]["losses"] == {}


@pytest.mark.parametrize("size", [1, 16384, 16385, 1 << 20, 5 << 20])
def test_sizes_of_one_write(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, size: int) -> None:
    capture, client = exchange(
        run_plainwire, go.build(go.NEWEST, "exchange"), certificate, tmp_path, "-size", str(size)
    )
    writes = [one for one in capture.events("data") if one["pid"] == client and one["direction"] == "write"]
    assert [one["offset"] for one in writes] == list(range(0, size, 16384))
    assert {one["call_length"] for one in writes} == {size}


@pytest.mark.parametrize("version", ["1.15", go.NEWEST])
def test_a_hundred_goroutines_whose_stacks_move(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str
) -> None:
    """Each reads into a buffer on its stack; the runtime moves it in the handshake and at garbage collections."""
    flags = ("-connections", "100", "-rounds", "10", "-size", "4000")
    exchange(run_plainwire, go.build(version, "exchange"), certificate, tmp_path, *flags)


def test_a_net_conn_of_the_programs_own(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    """A type that embeds the socket's net.Conn."""
    exchange(run_plainwire, go.build(go.NEWEST, "exchange"), certificate, tmp_path, "-wrap")


@pytest.mark.parametrize("tls", [12, 13])
def test_a_net_conn_that_holds_its_socket_out_of_sight(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, tls: int
) -> None:
    """The socket that is used inside the calls; beside them the same goroutines use others, which are not claimed."""
    flags = ("-hide", "-connections", "20", "-rounds", "10", "-size", "4000")
    program = go.build(go.NEWEST, "exchange")
    exchange(run_plainwire, program, certificate, tmp_path, *flags, version=tls, way="thread", server_flags=("-hide",))


def test_a_net_conn_whose_socket_other_goroutines_use(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    """Which socket a pipe leads to can't be known; none is claimed."""
    program = go.build(go.NEWEST, "exchange")
    with go_server(program, certificate, "-out", tmp_path) as (_, port):
        capture = run_plainwire("--json", "--elf", program)
        flags = ["-relay", "-connections", "5", "-rounds", "5", "-size", "4000", "-out", tmp_path]
        client, _ = run([program, "client", f"127.0.0.1:{port}", *flags])
        capture.stop()
    events = [event for event in capture.events("data") if event["pid"] == client]
    assert sum(event["length"] for event in events if event["direction"] == "write") == 5 * 5 * 4000
    assert {event["connection_note"] for event in events} == {"no socket used yet"}


@pytest.mark.parametrize("version", ["1.15", go.NEWEST])
def test_reads_that_were_waiting_before_the_capture(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str
) -> None:
    """The server waits in (*Conn).Read when the capture begins: that read is not missed."""
    program = go.build(version, "exchange")
    (tmp_path / "server").mkdir()  # both ends name their files by the client's port
    with go_server(program, certificate, "-out", tmp_path / "server") as (server, port):
        command = [program, "client", f"127.0.0.1:{port}", "-out", tmp_path, "-wait", tmp_path / "go", "-size", "500"]
        with subprocess.Popen(list(map(str, command))) as client:
            time.sleep(1)
            capture = run_plainwire("--json", "--pid", str(server))
            (tmp_path / "go").touch()
            assert client.wait(30) == 0
        capture.wait_for_bytes(500, direction="write", pid=server)
        capture.stop()
    (written,) = streams(capture.events(), server, "read", "remote").values()
    (expected,) = recorded(tmp_path, "written").values()
    assert written == expected and len(expected) == 500


@pytest.mark.parametrize("tls", [12, 13])
@pytest.mark.parametrize("version", ["1.15", go.NEWEST])
def test_key_log_is_the_programs_own(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str, tls: int
) -> None:
    program = Path(shutil.copy(go.build(version, "exchange", *STRIPPED), tmp_path / "exchange"))  # nobody else runs it
    keylog, own = tmp_path / "keys.log", tmp_path / "own.log"
    flags = ["-version", str(tls), "-connections", "20", "-keylog", own, "-out", tmp_path]
    with go_server(program, certificate, "-version", str(tls), "-out", tmp_path) as (_, port):
        capture = run_plainwire("--elf", program, "--keylog", keylog, "--no-data")
        run([program, "client", f"127.0.0.1:{port}", *flags])
        capture.stop()
    lines = own.read_text().splitlines()
    assert len(lines) == 20 * (1 if tls == 12 else 4)
    captured = keylog.read_text().splitlines()
    assert sorted(captured) == sorted(lines), capture.messages


def decrypted(trace: Path, keylog: Path) -> tuple[bytes, bytes]:
    """What client and server said on the first connection of a file of packets, as tshark decrypts it."""
    keys = ["-o", f"tls.keylog_file:{keylog}"]
    command = ["tshark", "-n", "-q", "-r", str(trace), *keys, "-z", "follow,tls,raw,0"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    spoken = [line for line in lines if line.strip() and set(line.strip()) <= set("0123456789abcdef")]
    client = b"".join(bytes.fromhex(line) for line in spoken if not line.startswith("\t"))
    return client, b"".join(bytes.fromhex(line) for line in spoken if line.startswith("\t"))


@pytest.mark.parametrize("tls", [12, 13])
@pytest.mark.parametrize("version", ["1.15", go.NEWEST])
def test_tshark_decrypts_with_the_captured_keys(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, version: str, tls: int
) -> None:
    """Packets as tcpdump saw them; the program writes no key log of its own."""
    program = Path(shutil.copy(go.build(version, "exchange", *STRIPPED), tmp_path / "exchange"))
    keylog, trace = tmp_path / "keys.log", tmp_path / "trace.pcap"
    ends = {name: tmp_path / name for name in ("server", "client")}
    for path in ends.values():
        path.mkdir()
    flags = ["-version", str(tls), "-rounds", "3", "-size", "2000", "-out", ends["client"]]
    with go_server(program, certificate, "-version", str(tls), "-out", ends["server"]) as (_, port):
        capture = run_plainwire("--elf", program, "--keylog", keylog, "--no-data")
        with tcpdump(trace, "-i", "lo", f"tcp port {port}"):
            run([program, "client", f"127.0.0.1:{port}", *flags])
            flags_at = 14 + 20 + 13  # Ethernet, IPv4, and the place of FIN in TCP's header
            wait_until(
                lambda: any(len(packet) > flags_at and packet[flags_at] & 1 for packet in packets(trace)),
                "the end of the connection",
            )
        capture.stop()
    (written,) = recorded(ends["client"], "written").values()
    assert len(written) == 6000
    assert decrypted(trace, keylog) == (written, written)


@pytest.mark.parametrize("version", ["1.15", go.NEWEST])
def test_http_2(run_plainwire: RunPlainwire, certificate: Certificate, version: str) -> None:
    """What a net/http client and server say is the same bytes at both ends."""
    program = go.build(version, "http")
    with go_server(program, certificate) as (server, port):
        capture = run_plainwire("--json", "--module", "gotls")
        client, output = run([program, "client", f"https://127.0.0.1:{port}/", "1000000"])
        assert output.split() == ["HTTP/2.0", "1000000"]
        time.sleep(0.2)
        capture.stop()
    events = capture.events()
    (asked,) = streams(events, client, "write", "local").values()
    (answered,) = streams(events, client, "read", "local").values()
    (heard,) = streams(events, server, "read", "remote").values()
    (said,) = streams(events, server, "write", "remote").values()
    assert asked.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert asked.startswith(heard) and len(heard) > 1_000_000
    assert said.startswith(answered) and len(answered) > 1_000_000


def test_go_client_and_nginx(run_plainwire: RunPlainwire, nginx: Server) -> None:
    """Two modules see the two ends of one connection."""
    (nginx.files / "small.txt").write_bytes(b"hello\n")
    program = go.build(go.NEWEST, "client", *STRIPPED)
    capture = run_plainwire("--json", "--lib", program, "--lib", mapped(nginx.pid, "libssl"))
    client, _ = run([program, f"127.0.0.1:{nginx.port}"])
    capture.stop()
    (asked,) = streams(capture.events(), client, "write", "local").values()
    assert asked == b"GET / HTTP/1.0\r\n\r\n"
    (worker,) = children(nginx.pid)
    assert bytes_of(capture.events(), worker, "read") == [asked]
    (answered,) = streams(capture.events(), client, "read", "local").values()
    assert bytes_of(capture.events(), worker, "write") == [answered]


def test_curl_and_go_server(run_plainwire: RunPlainwire, certificate: Certificate) -> None:
    program = go.build(go.NEWEST, "http", *STRIPPED)
    with go_server(program, certificate) as (server, port):
        capture = run_plainwire("--json", "--pid", str(server))
        body = b"abc" * 30_000
        finished = subprocess.run(
            ["curl", "-sSk", "--http1.1", "--data-binary", "@-", f"https://127.0.0.1:{port}/"],
            input=body, capture_output=True, check=True,
        )  # fmt: skip
        assert finished.stdout == body[::-1]
        capture.stop()
    (heard,) = streams(capture.events(), server, "read", "remote").values()
    (said,) = streams(capture.events(), server, "write", "remote").values()
    assert heard.startswith(b"POST / HTTP/1.1\r\n") and heard.endswith(body)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(said) > len(body)


def test_a_program_goes_on_unharmed_after_the_capture(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path
) -> None:
    """Captures that begin and end while goroutines read and write change nothing that they see."""
    program = go.build(go.NEWEST, "exchange")
    (tmp_path / "server").mkdir()
    with go_server(program, certificate, "-out", tmp_path / "server") as (_, port):
        flags = ["-connections", "20", "-rounds", "400", "-size", "3000", "-out", tmp_path]
        command = [program, "client", f"127.0.0.1:{port}", *flags]
        with subprocess.Popen(list(map(str, command))) as client:
            for _ in range(4):
                run_plainwire("--json", "--module", "gotls").stop(by=signal.SIGTERM)
            assert client.wait(120) == 0
    assert recorded(tmp_path, "read") == recorded(tmp_path, "written")


def test_explain(certificate: Certificate) -> None:
    with go_server(go.build(go.NEWEST, "http", *STRIPPED), certificate) as (server, _):
        text = plainwire("explain", str(server)).stdout
    assert "Go crypto/tls 1.27.3" in text
    assert "captured by the module gotls" in text
    assert "body and 7 RETs" in text
    assert "registers" in text
    assert "key log function" in text


@pytest.mark.parametrize(
    ("program", "environment", "reason"),
    [
        ("plain", {}, "without crypto/tls"),
        ("client", {"GOARCH": "arm64"}, "64-bit aarch64"),
        ("plain", {"GOARCH": "386"}, "32-bit i386"),
    ],
)
def test_a_named_program_that_cant_be_captured(program: str, environment: dict[str, str], reason: str) -> None:
    finished = plainwire("capture", "--elf", go.build(go.NEWEST, program, **environment))
    assert finished.returncode == 2
    assert reason in finished.stderr and finished.stderr.count("\n") == 1


def test_a_command_is_captured_from_its_first_byte(certificate: Certificate, tmp_path: Path) -> None:
    """It is stopped until its program is attached: nobody has seen this file before."""
    program = tmp_path / "new"
    program.write_bytes(go.build(go.NEWEST, "client", *STRIPPED).read_bytes())
    program.chmod(0o755)
    with go_server(go.build(go.NEWEST, "http"), certificate) as (_, port):
        finished = plainwire("capture", "--json", "--", str(program), f"127.0.0.1:{port}")
    assert finished.returncode == 0
    assert base64.b64encode(b"GET / HTTP/1.0\r\n\r\n").decode() in finished.stdout
