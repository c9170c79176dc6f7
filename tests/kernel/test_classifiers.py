"""What is left on an interface by captures that end, or are killed, and of the filters of others."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.namespaces import Host, two_hosts
from tests.support.packet_capture import Reader, ping
from tests.support.processes import wait_until

pytestmark = pytest.mark.bpf

BPF_PROG_QUERY = 16

CAPTURE = (
    "import sys, time\n"
    "from tests.support.packet_capture import Reader\n"
    "reader = Reader('veth0', tcx={tcx})\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as made:
        yield made


def killed_capture(host: Host, *, tcx: bool) -> None:
    """A capture that had no time to take its filters away."""
    command = host.command(sys.executable, "-c", CAPTURE.format(tcx=tcx))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)


def filters(host: Host) -> list[str]:
    """A line for each filter of a program at veth0, of the clsact qdisc."""
    lines = []
    for direction in ("ingress", "egress"):
        printed = subprocess.run(
            host.command("tc", "filter", "show", "dev", "veth0", direction), capture_output=True, text=True, check=True
        )
        lines += [f"{direction} {line}" for line in printed.stdout.splitlines() if "handle" in line]
    return lines


def others_filter(host: Host) -> None:
    """A filter with our priority, in the same qdisc, that lets everything pass."""
    for arguments in (
        ("qdisc", "add", "dev", "veth0", "clsact"),
        ("filter", "add", "dev", "veth0", "ingress", "pref", "1", "bpf", "bytecode", "1,6 0 0 0"),
        ("filter", "add", "dev", "veth0", "egress", "pref", "7", "bpf", "bytecode", "1,6 0 0 0"),
    ):
        subprocess.run(["tc", "-n", host.name, *arguments], check=True)


def tcx_programs(interface: str) -> int:
    """How many there are (BPF_PROG_QUERY of <linux/bpf.h>)."""
    from plainwire.kernel.syscalls import BPF_TCX_EGRESS, BPF_TCX_INGRESS, bpf

    count = 0
    for attach_type in (BPF_TCX_INGRESS, BPF_TCX_EGRESS):
        # target_ifindex, attach_type, query_flags, attach_flags, prog_ids, count
        attributes = ctypes.create_string_buffer(
            struct.pack("=IIIIQI", socket.if_nametoindex(interface), attach_type, 0, 0, 0, 0), 64
        )
        bpf(BPF_PROG_QUERY, attributes, "ask for the programs of an interface")
        count += int.from_bytes(attributes.raw[24:28], "little")
    return count


def test_tcx_links_go_with_their_process(hosts: tuple[Host, Host]) -> None:
    """Packets come once: no program of the killed capture is left to be seen again."""
    from plainwire.kernel.classifiers import has_tcx

    if not has_tcx():
        pytest.skip("this kernel has no tcx links")
    one, two = hosts
    killed_capture(one, tcx=True)
    with one.entered():
        wait_until(lambda: tcx_programs("veth0") == 0, "the programs to go", 10)
    with one.entered(), Reader("veth0", "icmp", tcx=True) as reader:
        assert tcx_programs("veth0") == 2
        ping(one, two.ipv4)
        assert len(reader.wait_for(4)) == 4


def test_filters_of_a_killed_capture_are_removed_by_the_next_and_others_stay(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    others_filter(one)
    others = filters(one)
    assert len(others) == 2
    killed_capture(one, tcx=False)
    assert len(filters(one)) == 4  # that is what there is to clean
    with one.entered(), Reader("veth0", "icmp", tcx=False) as reader:
        ours = [line for line in filters(one) if "cls_fun" in line]
        assert len(ours) == 2
        assert all(f"handle {os.getpid():#x}" in line for line in ours), ours
        ping(one, two.ipv4)
        assert len(reader.wait_for(4)) == 4
    assert filters(one) == others


def test_captures_at_once_leave_each_others_filters_alone(hosts: tuple[Host, Host]) -> None:
    one, two = hosts
    command = one.command(sys.executable, "-c", CAPTURE.format(tcx=False))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with one.entered(), Reader("veth0", "icmp", tcx=False) as reader:
            assert len(filters(one)) == 4
            ping(one, two.ipv4)
            assert len(reader.wait_for(4)) == 4
        assert len(filters(one)) == 2
        process.kill()
