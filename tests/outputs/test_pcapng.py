"""The writer's files as tshark and scapy read them."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from plainwire.errors import InputError
from plainwire.outputs.pcapng import LINKTYPE_ETHERNET, LINKTYPE_RAW, PcapngWriter, packet_options
from plainwire.outputs.pcapng_files import PcapngFiles
from tests.support.tls_exchange import exchange

START_NS = 1_764_000_000_123_456_789
CURL = (1234, 1000, "curl", None)
SERVER = (77, 0, "a b\x1b[31m", "9f86d081884c")


def tshark(path: Path, *fields: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    """One row a packet, one column a field."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), *options, "-T", "fields", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in finished.stdout.splitlines()]


def udp(size: int, port: int = 53) -> bytes:
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP() / UDP(dport=port) / bytes(size))


def test_tshark_sees_each_packet_with_its_interface_time_direction_and_process(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    packets = [udp(size) for size in range(8)]
    with path.open("wb", buffering=0) as file:
        writer = PcapngWriter(file.write, "plainwire")
        assert writer.interface("lo", LINKTYPE_ETHERNET) == 0
        assert writer.interface("tun0", LINKTYPE_RAW, snaplen=64, capture_filter="udp port 53") == 1
        for number, data in enumerate(packets):
            writer.packets([(0, START_NS + number, data, len(data), packet_options(*CURL, True))])
        writer.packets([(1, START_NS + 10**9, packets[0][14:40], 900, packet_options(*SERVER, False, "one note"))])
        writer.packets([(1, START_NS + 10**9, packets[0][14:], 28, packet_options(None, None, None, None, False))])
        writer.statistics(0, START_NS, received=8, dropped=3)
        writer.flush()

    assert path.stat().st_size == writer.bytes_written
    rows = tshark(
        path,
        "frame.interface_name",
        "frame.time_epoch",
        "frame.packet_flags_direction",
        "frame.comment",
        "frame.len",
        "frame.cap_len",
    )
    for number, row in enumerate(rows[:8]):
        size = str(len(packets[number]))
        comment = "pid=1234 uid=1000 comm=curl"
        assert row == ["lo", f"1764000000.{123456789 + number}", "0x00000002", comment, size, size]
    comments = r"pid=77 uid=0 container=9f86d081884c comm=a b\x1b[31m,one note"
    assert rows[8] == ["tun0", "1764000001.123456789", "0x00000001", comments, "900", "26"]
    assert rows[9][3] == "process unknown"
    with RawPcapNgReader(str(path)) as reader:
        assert [packet for packet, _ in reader][:8] == packets


def test_process_and_thread_stand_in_the_option_that_the_specification_has_for_them() -> None:
    # Code 8, 8 bytes, pid and tid (0: not known); the last 4 bytes are the end mark.
    assert packet_options(*CURL, True)[-16:] == bytes.fromhex("08000800 d2040000 00000000 00000000")


def test_interface_statistics_tell_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    files = PcapngFiles(path, "plainwire")
    files.interface("lo", LINKTYPE_ETHERNET)
    files.packets([(0, START_NS, udp(1), 43, b"")])
    files.count(0, 10, 9)
    files.close()
    # Block 5, interface 0, the last packet's time, options isb_ifrecv (4) and isb_ifdrop (5).
    time = bytes(4).join([(START_NS >> 32).to_bytes(4, "little")]) + (START_NS & 0xFFFFFFFF).to_bytes(4, "little")
    received, dropped = b"\4\0\x08\0" + (10).to_bytes(8, "little"), b"\5\0\x08\0" + (9).to_bytes(8, "little")
    body = bytes(4) + time + received + dropped + bytes(4)
    size = (len(body) + 12).to_bytes(4, "little")
    assert path.read_bytes().endswith((5).to_bytes(4, "little") + size + body + size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_cut_anywhere_is_read_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    files = PcapngFiles(path, "plainwire")
    files.interface("lo", LINKTYPE_ETHERNET)
    for _ in range(3):
        files.packets([(0, START_NS, udp(100), 142, packet_options(*CURL, True))])
    files.close()
    whole = path.read_bytes()
    third = len(whole) // 4
    for cut in (len(whole) - 1, len(whole) - third):
        path.write_bytes(whole[:cut])
        command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "udp.dstport"]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.stdout.split() == ["53"] * 2
        assert "cut short" in finished.stderr


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tshark_decrypts_with_the_keys_in_the_file(tmp_path: Path, version: ssl.TLSVersion) -> None:
    request, response = b"GET /hello HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    made = exchange(tmp_path, version, request, response)
    path = tmp_path / "trace.pcapng"
    files = PcapngFiles(path, "plainwire")
    files.interface("lo", LINKTYPE_RAW)
    files.secrets(START_NS, made.key_log)
    sequence = {True: 1, False: 1}
    for number, (by_client, records) in enumerate(made.flights):
        source, destination = (40000, 443) if by_client else (443, 40000)
        tcp = TCP(sport=source, dport=destination, flags="PA", seq=sequence[by_client], ack=sequence[not by_client])
        sequence[by_client] += len(records)
        data = bytes(IP(src="127.0.0.1", dst="127.0.0.1") / tcp / records)
        files.packets([(0, START_NS + number, data, len(data), b"")])
    files.close()
    rows = tshark(path, "http.request.uri", "http.response.code", options=("-Y", "http"))
    assert rows == [["/hello", ""], ["", "200"]]


def write_row(path: Path, **limits: int) -> None:
    files = PcapngFiles(path, "plainwire", **limits)
    files.interface("lo", LINKTYPE_ETHERNET)
    for number in range(100):
        if number % 10 == 0:
            files.secrets(START_NS + number * 10**9, b"CLIENT_RANDOM %064x %096x\n" % (number, number))
        if number == 50:
            assert files.interface("veth0", LINKTYPE_ETHERNET) == 1
        data = udp(100, port=1000 + number)
        files.packets([(0 if number < 50 else 1, START_NS + number * 10**9, data, len(data), b"")])
    files.close()


def test_rotation_by_size_keeps_every_packet_once_and_each_file_can_be_read_alone(tmp_path: Path) -> None:
    write_row(tmp_path / "trace.pcapng", max_bytes=8000)
    files = sorted(tmp_path.iterdir())
    assert files[0].name == "trace_00001.pcapng"
    assert len(files) >= 3
    rows = []
    for path in files:
        assert path.stat().st_size <= 8000
        rows += tshark(path, "udp.dstport", "frame.interface_name")
    assert rows == [[str(1000 + number), "lo" if number < 50 else "veth0"] for number in range(100)]


def test_rotation_by_time_repeats_recent_secrets_and_keeps_the_last_files(tmp_path: Path) -> None:
    write_row(tmp_path / "trace.pcapng", max_ns=30 * 10**9, files=2)
    third, fourth = sorted(tmp_path.iterdir())
    assert [third.name, fourth.name] == ["trace_00003.pcapng", "trace_00004.pcapng"]
    assert [row[0] for row in tshark(third, "udp.dstport")] == [str(1000 + number) for number in range(60, 90)]
    assert [row[0] for row in tshark(fourth, "udp.dstport")] == [str(1000 + number) for number in range(90, 100)]
    content = fourth.read_bytes()
    assert b"CLIENT_RANDOM %064x" % 90 in content
    assert b"CLIENT_RANDOM %064x" % 80 in content
    assert b"CLIENT_RANDOM %064x" % 20 not in content


def test_a_live_reader_follows_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    saved = os.dup(1)
    os.dup2(writing, 1)
    try:
        reader = subprocess.Popen(
            ["tshark", "-l", "-n", "-r", "-", "-T", "fields", "-e", "udp.dstport"],
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert reader.stdout
        files = PcapngFiles(Path("-"), "plainwire")
        files.interface("lo", LINKTYPE_ETHERNET)
        for port in (1, 2, 3):
            files.packets([(0, START_NS, udp(10, port), 52, b"")])
            files.flush()
            assert reader.stdout.readline() == f"{port}\n"
        files.close()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writing)
        os.close(reading)
    assert reader.wait(10) == 0
    reader.stdout.close()


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't write .*/none/trace.pcapng: No such file or directory"):
        PcapngFiles(tmp_path / "none" / "trace.pcapng", "plainwire")
    with pytest.raises(InputError, match="standard output is one stream"):
        PcapngFiles(Path("-"), "plainwire", max_bytes=1000)
