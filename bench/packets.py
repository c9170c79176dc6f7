"""Packets a second without loss, beside tcpdump and dumpcap, and what a capture costs iperf3.

A program sends UDP datagrams over a veth pair at a steady rate. Each tool in turn captures them where they leave, into
a file in memory, with a buffer of 64 MiB; its file must hold every one. The frames are of 64 and of 1,448 bytes.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.compiled import c_program
from bench.figures import interleaved, median_ratio, spread
from tests.support.namespaces import Host, two_hosts
from tests.support.plainwire import COMMAND
from tests.support.processes import wait_until

SIZES = (64, 1448)
RATES = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000)
SECONDS = 3.0
ROUNDS = 3
IPERF_SECONDS = 3
PORT = 9000
BUFFER_MIB = 64
HEADERS = 14 + 20 + 8  # Ethernet, IPv4, UDP
FILTER = f"udp dst port {PORT}"

Command = tuple[Sequence[str | Path], str]
"""What is run, and what it says when it captures."""


def tools(trace: Path) -> dict[str, Command]:
    """Each tool's command."""
    # Others' TLS, whatever this machine does besides, is no part of the comparison.
    plainwire = [COMMAND, "capture", "--comm", "send_packets", "-i", "veth0", "--pcapng", trace, FILTER]
    tcpdump = ["tcpdump", "-i", "veth0", "-n", "-Z", "root", "-B", str(BUFFER_MIB << 10), "-w", trace, FILTER]
    dumpcap = ["dumpcap", "-q", "-i", "veth0", "-B", str(BUFFER_MIB), "-w", trace, "-f", FILTER]
    return {"plainwire": (plainwire, "capturing"), "tcpdump": (tcpdump, "listening on"), "dumpcap": (dumpcap, "File:")}


@contextmanager
def capturing(host: Host, command: Command, folder: Path) -> Iterator[Path]:
    """The tool captures meanwhile; the file of its messages."""
    arguments, ready = command
    messages = folder / "messages"
    with messages.open("wb") as stderr, subprocess.Popen(host.command(*arguments), stderr=stderr) as process:
        try:
            wait_until(lambda: ready in messages.read_text(), f"{arguments[0]} to capture", 20)
            time.sleep(0.3)  # dumpcap says it a moment before
            yield messages
        finally:
            time.sleep(1.5)  # tcpdump lets the kernel collect packets for a second
            process.send_signal(signal.SIGINT)
            process.wait(60)


def captured(trace: Path) -> int:
    """How many packets the file holds."""
    printed = subprocess.run(["capinfos", "-Mc", trace], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Number of packets:\s*(\d+)", printed)
    assert found, printed
    return int(found[1])


def loss(hosts: tuple[Host, Host], command: Command, sender: Path, size: int, rate: int, folder: Path) -> str:
    """Share of the packets that are missing, in per cent, and the rate at which they were really sent."""
    trace = folder / "trace"
    trace.unlink(missing_ok=True)
    one, two = hosts
    count = int(rate * SECONDS)
    with capturing(one, command, folder) as messages:
        program = one.command(sender, two.ipv4, str(PORT), str(size - HEADERS), str(rate), str(count))
        nanoseconds = int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    missing = count - captured(trace)
    if command[0][0] == COMMAND:  # what is missing must be told, exactly
        told = re.search(r"lost ([\d,]+) packets?:", messages.read_text())
        assert missing == (int(told[1].replace(",", "")) if told else 0), messages.read_text()
    share = "none" if not missing else f"{100 * missing / count:.2f} %"
    return f"{share:>8} of {count / nanoseconds * 1e6:4.0f}k"


def losses(hosts: tuple[Host, Host], folder: Path) -> None:
    """A line for each size and rate: what each tool lost."""
    sender = c_program("send_packets", folder)
    commands = tools(folder / "trace")
    with hosts[1].entered():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # never read: it drops what it has no room for
    sink.bind((hosts[1].ipv4, PORT))
    print(f"lost of {SECONDS:g} s at each rate   " + "".join(f"{name:>18}" for name in commands))
    for size in SIZES:
        for rate in RATES:
            figures = [loss(hosts, command, sender, size, rate, folder) for command in commands.values()]
            print(f"{size:5} B {rate:9,}/s          " + "".join(f"{figure:>18}" for figure in figures), flush=True)
    sink.close()


def throughput(hosts: tuple[Host, Host]) -> float:
    """Gigabits a second of one TCP connection from host one to host two."""
    one, two = hosts
    with subprocess.Popen(two.command("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL) as server:
        time.sleep(0.3)
        command = one.command("iperf3", "-c", two.ipv4, "-t", str(IPERF_SECONDS), "-J")
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        server.wait(10)
    return float(json.loads(printed)["end"]["sum_received"]["bits_per_second"]) / 1e9


def costs(hosts: tuple[Host, Host], folder: Path) -> None:
    """iperf3 alone, and beside captures that keep 128 bytes of each packet, all of each, and none."""
    trace = folder / "trace"
    start = [COMMAND, "capture", "-i", "veth0", "--pcapng", trace, "--out", "/dev/null"]

    def beside(command: Command) -> float:
        trace.unlink(missing_ok=True)
        with capturing(hosts[0], command, folder):
            return throughput(hosts)

    dumpcap = ["dumpcap", "-q", "-i", "veth0", "-B", str(BUFFER_MIB), "-s", "128", "-w", trace]
    variants = {
        "no capture": lambda: throughput(hosts),
        "plainwire, a filter that takes nothing": lambda: beside(([*start, "tcp port 1"], "capturing")),
        "plainwire, 128 bytes of each": lambda: beside(([*start, "--snaplen", "128"], "capturing")),
        "plainwire, whole packets": lambda: beside((start, "capturing")),
        "dumpcap, 128 bytes of each": lambda: beside((dumpcap, "File:")),
        "dumpcap, whole packets": lambda: beside(([word for word in dumpcap if word not in ("-s", "128")], "File:")),
    }
    results = interleaved(ROUNDS, variants)
    for name, values in results.items():
        ratio = median_ratio(values, results["no capture"])
        print(f"iperf3, {name:40} {spread(values):>12} Gbit/s, {ratio:.2f} of no capture")


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, two_hosts() as hosts:
        losses(hosts, Path(folder))
        costs(hosts, Path(folder))


if __name__ == "__main__":
    main()
