"""Which processes are captured: each filter lets through what it names, and nothing else, in the kernel and here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.plainwire import Capture
from tests.support.servers import Server
from tests.support.tls_program import Told, captured, run_program

pytestmark = pytest.mark.bpf

PLACES = pytest.mark.parametrize("place", [[], ["--userspace-filter"]], ids=["kernel", "userspace"])
NOBODY = 65534


def curl(url: str, **options: int) -> int:
    with subprocess.Popen(["curl", "-sSk", url], stdout=subprocess.DEVNULL, **options) as process:
        assert process.wait(30) == 0
        return process.pid


def pids_of(capture: Capture) -> set[int]:
    return {event["pid"] for event in capture.events("data")}


@PLACES
@pytest.mark.parametrize("chosen", [(0,), (0, 2)], ids=["one", "several"])
def test_pid(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, place: list[str], chosen: tuple[int, ...]
) -> None:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
    first, second, third = (Told(certificate, tmp_path / str(number), "libssl.so.3") for number in range(3))
    with first, second, third:
        processes = [first, second, third]
        wanted = [processes[number] for number in chosen]
        capture = run_plainwire("--json", *place, *(f"--pid={process.pid}" for process in wanted))
        done = [process.say(f"process {number}") for number, process in enumerate(processes)]
        capture.stop()
    assert pids_of(capture) == {process.pid for process in wanted}
    for number in chosen:
        assert captured(capture, processes[number].pid) == done[number].moved


@pytest.mark.parametrize("follow", [True, False])
def test_follow(run_plainwire: RunPlainwire, nginx: Server, follow: bool) -> None:
    """With --follow the children that a process starts from then on are captured, and theirs."""
    (nginx.files / "file").write_bytes(b"x")
    script = f"read go; sh -c 'curl -sSk {nginx.url}/file; true'; echo; curl -sSk {nginx.url}/file; read end"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        capture = run_plainwire("--json", "--pid", str(shell.pid), *(["--follow"] if follow else []))
        assert shell.stdin and shell.stdout
        shell.stdin.write("go\n")
        shell.stdin.flush()
        assert shell.stdout.readline() == "x\n"
        assert shell.stdout.read(1) == "x"
        curl(f"{nginx.url}/file")  # a stranger
        shell.communicate("end\n")
        capture.stop()
    events = capture.events("data")
    assert {event["comm"] for event in events} == ({"curl"} if follow else set())
    assert len(pids_of(capture)) == (2 if follow else 0)
    assert sum(event["direction"] == "write" for event in events) == (2 if follow else 0)


@PLACES
@pytest.mark.parametrize("uid", [0, NOBODY])
def test_uid(run_plainwire: RunPlainwire, nginx: Server, place: list[str], uid: int) -> None:
    (nginx.files / "file").write_bytes(b"x")
    capture = run_plainwire("--json", "--uid", str(uid), *place)
    pids = {0: curl(f"{nginx.url}/file"), NOBODY: curl(f"{nginx.url}/file", user=NOBODY, group=NOBODY)}
    capture.stop()
    assert {event["uid"] for event in capture.events("data")} == {uid}
    assert pids[uid] in pids_of(capture)
    assert pids[NOBODY - uid] not in pids_of(capture)


@PLACES
@pytest.mark.parametrize(("name", "seen"), [("the-process", True), ("the-thread", False)])
def test_comm_is_the_name_of_the_process(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, place: list[str], name: str, seen: bool
) -> None:
    capture = run_plainwire("--json", "--comm", name, "--comm", "nobody-is", *place)
    done = run_program("named_thread", certificate, tmp_path)
    capture.stop()
    events = capture.events("data")
    assert captured(capture, done.pid) == (done.moved if seen else {})
    assert {(event["comm"], event["thread_comm"]) for event in events} == (
        {("the-process", "the-thread")} if seen else set()
    )


def test_command_captures_its_children_alone(run_plainwire: RunPlainwire, nginx: Server) -> None:
    """nginx, which answers, has the same libssl."""
    (nginx.files / "file").write_bytes(b"x")
    get = f"curl -sSk -o /dev/null {nginx.url}/file"
    capture = run_plainwire("--json", "--", "sh", "-c", f"{get}; sh -c '{get}'")
    assert capture.wait() == 0
    assert len(pids_of(capture)) == 2
    assert {event["comm"] for event in capture.events("data")} == {"curl"}
