"""`plainwire capture -i … --pcapng FILE`, by tshark's eyes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.namespaces import Host, two_hosts
from tests.support.plainwire import COMMAND, plainwire
from tests.support.processes import wait_until
from tests.support.servers import Server
from tests.support.tshark import tshark

pytestmark = pytest.mark.bpf

BODY = b"what nobody on the wire may read"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_one_file_shows_http_decrypted_with_the_process_of_each_packet(
    nginx: Server, tmp_path: Path, version: str, http: str
) -> None:
    (nginx.files / "secret.txt").write_bytes(BODY)
    trace = tmp_path / "trace.pcapng"
    curl = ["curl", "-sk", http, f"--tlsv{version}", "--tls-max", version, f"https://127.0.0.1:{nginx.port}/secret.txt"]
    finished = plainwire("capture", "-i", "lo", "--pcapng", trace, f"tcp port {nginx.port}", "--", *curl)
    assert finished.returncode == 0, finished.stderr
    protocol, path, code = ("http", "http.request.uri", "http.response.code")
    if http == "--http2" and nginx_speaks_http2(nginx):
        protocol, path, code = ("http2", "http2.headers.path", "http2.headers.status")
    rows = tshark(trace, protocol, path, code, "frame.comment")
    assert [row[0] for row in rows if row[0]] == ["/secret.txt"]
    assert [row[1] for row in rows if row[1]] == ["200"]
    comments = {row[0].split("comm=")[-1] for row in tshark(trace, "tcp", "frame.comment")}
    assert comments == {"curl", "nginx"}
    assert "with their process" in finished.stderr
    assert trace.stat().st_mode & 0o777 == 0o600


def nginx_speaks_http2(nginx: Server) -> bool:
    command = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_version}", f"https://127.0.0.1:{nginx.port}/"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2"


def test_a_live_reader_gets_packets_through_a_pipe(nginx: Server) -> None:
    (nginx.files / "secret.txt").write_bytes(BODY)
    capture = subprocess.Popen(
        [COMMAND, "capture", "-i", "lo", "--pcapng", "-", f"tcp port {nginx.port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert capture.stdout and capture.stderr
    reader = subprocess.Popen(
        ["tshark", "-l", "-n", "-r", "-", "-Y", "http", "-T", "fields", "-e", "http.request.uri"],
        stdin=capture.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert reader.stdout
    assert capture.stderr.readline().startswith("capturing")
    subprocess.run(["curl", "-sk", "-o", "/dev/null", f"https://127.0.0.1:{nginx.port}/secret.txt"], check=True)
    assert reader.stdout.readline() == "/secret.txt\n"
    capture.send_signal(signal.SIGINT)
    assert capture.wait(10) == 0
    capture.stdout.close()
    capture.stderr.close()
    assert reader.wait(10) == 0
    reader.stdout.close()


def test_plaintext_as_packets_has_the_right_ends(nginx: Server, tmp_path: Path) -> None:
    (nginx.files / "secret.txt").write_bytes(BODY)
    trace = tmp_path / "plain.pcapng"
    curl = ["curl", "-sk", "--http1.1", "-w", "%{local_port}", "-o", os.devnull]
    finished = plainwire(
        "capture",
        "--pcapng-plain",
        trace,
        "--out",
        tmp_path / "out",
        "--",
        *curl,
        f"https://127.0.0.1:{nginx.port}/secret.txt",
    )
    assert finished.returncode == 0, finished.stderr
    client_port = finished.stdout
    rows = tshark(trace, "http", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "http.request.uri")
    assert rows == [
        ["127.0.0.1", client_port, "127.0.0.1", str(nginx.port), "/secret.txt"],
        ["127.0.0.1", str(nginx.port), "127.0.0.1", client_port, rows[1][4]],
    ]


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


def test_interfaces_that_appear_later_are_captured(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    host = hosts[0]
    trace = tmp_path / "trace.pcapng"
    errors = tmp_path / "stderr"
    command = host.command(
        COMMAND, "capture", "-i", "any", "-i", "late0", "--pcapng", trace, "--out", os.devnull, "icmp"
    )
    with errors.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as capture:
        wait_until(lambda: "capturing" in errors.read_text(), "the capture to begin", 20)
        assert "there is no interface late0 yet" in errors.read_text()
        for arguments in (
            ("link", "add", "late0", "type", "veth", "peer", "name", "late1"),
            ("link", "set", "late0", "up"),
            ("link", "set", "late1", "up"),
            ("addr", "add", "10.98.0.1/24", "dev", "late0"),
            ("neigh", "add", "10.98.0.2", "lladdr", "02:00:00:00:00:02", "dev", "late0"),
        ):
            subprocess.run(["ip", "-n", host.name, *arguments], check=True)
        time.sleep(0.3)
        for address in ("10.98.0.2", hosts[1].ipv4, "127.0.0.1"):
            subprocess.run(host.command("ping", "-c", "1", "-W", "1", address), check=False, capture_output=True)
        capture.send_signal(signal.SIGINT)
        assert capture.wait(10) == 0
    rows = tshark(trace, "icmp", "frame.interface_name", "frame.packet_flags_direction", "icmp.type")
    assert ["late0", "0x00000002", "8"] in rows
    assert ["late1", "0x00000001", "8"] in rows
    assert ["veth0", "0x00000001", "0"] in rows
    assert [row for row in rows if row[0] == "lo"] == [["lo", "0x00000002", "8"], ["lo", "0x00000002", "0"]]


def test_rotated_files_hold_each_packet_once(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    host = hosts[0]
    trace = tmp_path / "trace.pcapng"
    options = ["-i", "lo", "--pcapng", trace, "--rotate-size", "10K", "--out", os.devnull, "icmp"]
    ping = ["ping", "-c", "100", "-i", "0.002", "127.0.0.1"]
    finished = subprocess.run(
        host.command(COMMAND, "capture", *options, "--", *ping), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    files = sorted(tmp_path.glob("trace_*.pcapng"))
    assert len(files) >= 3
    assert all(path.stat().st_size <= 10_240 + 100 for path in files)  # statistics come at the end
    sequence = [int(row[0]) for path in files for row in tshark(path, "icmp.type == 8", "icmp.seq")]
    assert sequence == list(range(1, 101))


def test_a_recording_of_packets_is_read_as_the_capture_gave_them(nginx: Server, tmp_path: Path) -> None:
    live, recording, later = (tmp_path / name for name in ("live.pcapng", "recording", "later.pcapng"))
    curl = ["curl", "-sk", "-o", os.devnull, f"https://127.0.0.1:{nginx.port}/"]
    options = ["-i", "lo", "--pcapng", live, "--record", recording, "--out", os.devnull, f"tcp port {nginx.port}"]
    assert plainwire("capture", *options, "--", *curl).returncode == 0
    assert plainwire("read", recording, "--pcapng", later, "--out", os.devnull).returncode == 0
    fields = ("frame.time_epoch", "frame.comment", "frame.len", "tcp.seq", "http.request.uri", "http2.headers.path")
    rows = tshark(live, "tcp", *fields)
    assert len(rows) >= 10
    assert tshark(later, "tcp", *fields) == rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "lo", "--pcapng", "FILE", "tcp prot 1"], "the packet filter 'tcp prot 1' is not understood"),
        (["tcp port 1"], "needs -i"),
        (["--pcapng", "FILE"], "--pcapng needs to know where"),
        (["--rotate-size", "1M"], "are for --pcapng FILE"),
        (["-i", "lo", "--pcapng", "FILE", "--files", "3"], "say when with --rotate-size"),
        (["-i", "lo", "--pcapng", "/none/x"], "can't write /none/x"),
        (["-i", "lo", "--pcapng", "-", "--rotate-seconds", "1"], "standard output is one stream"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    words = [str(tmp_path / "file") if word == "FILE" else word for word in arguments]
    finished = plainwire("capture", *words)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert finished.stderr.count("\n") == 1
