"""The container of a process, in packets and in events, by cgroups named as engines name them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.cgroups import cgroup
from tests.support.plainwire import Capture
from tests.support.servers import Server
from tests.support.tshark import tshark

pytestmark = pytest.mark.bpf

ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("name", "container"),
    [
        (f"system.slice/docker-{ID}.scope", ID),
        (f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-{ID}.scope", ID),
        (f"kubepods/burstable/pod1/{ID}", ID),
        (f"machine.slice/libpod-{ID}.scope/container", ID),
        (f"kubepods.slice/crio-{ID}.scope", ID),
        (f"machine.slice/libpod-conmon-{ID}.scope", None),
    ],
)
def test_packets_and_events_tell_the_container(nginx: Server, tmp_path: Path, name: str, container: str | None) -> None:
    """Of a program that lives for a few ms: it joins the cgroup and then runs, as an engine lets it."""
    trace = tmp_path / "trace.pcapng"
    url = f"https://127.0.0.1:{nginx.port}/"
    program = f'echo $$ > "$0" && exec curl -sk -o /dev/null {url}'
    options = ["--comm", "curl", "--json", "-i", "lo", "--pcapng", trace, f"tcp port {nginx.port}"]
    with cgroup(name) as processes, Capture(*options) as capture:
        curl = subprocess.Popen(["sh", "-c", program, processes])
        assert curl.wait(30) == 0
        assert capture.stop() == 0
    data = [event for event in capture.events("data") if event["pid"] == curl.pid]
    assert data and {event["container"] for event in data} == {container}
    told = {event["comm"]: event["container"] for event in capture.events("packet")}
    assert told == {"curl": container, "nginx": None}
    comments = {row[0].partition(" ")[2] for row in tshark(trace, "tcp", "frame.comment")}
    within = f"container={container} " if container else ""
    assert comments == {f"uid=0 {within}comm=curl", next(one for one in comments if one.endswith("comm=nginx"))}
