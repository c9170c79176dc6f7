"""plainwire.Capture: with `with` and `for`, and with `async with` and `async for`."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

import plainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import Told, program, read_report

pytestmark = pytest.mark.bpf


def test_for_ends_after_max_events(certificate: Certificate, tmp_path: Path) -> None:
    with (
        Told(certificate, tmp_path, "libssl.so.3") as process,
        plainwire.Capture(pids=[process.pid], max_events=2) as capture,
    ):
        process.say("hello")
        events = list(capture)
    write, read = (event for event in events if isinstance(event, plainwire.DataEvent))
    stats = events[-1]
    assert (write.direction, write.data, write.pid) == ("write", b"hello\n", process.pid)
    assert (read.direction, read.data) == ("read", b"hello\n")
    assert isinstance(stats, plainwire.StatsEvent)
    assert (stats.events, stats.bytes, stats.losses) == (2, 12, {})


def test_stop_ends_it_after_what_was_captured(certificate: Certificate, tmp_path: Path) -> None:
    with Told(certificate, tmp_path, "libssl.so.3") as process, plainwire.Capture(pids=[process.pid]) as capture:
        process.say("hello")
        capture.stop()
        assert [event.KIND for event in capture if event.KIND != "tls"] == ["data", "data", "stats"]


def test_a_command(certificate: Certificate, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with plainwire.Capture(command=program("echo_once", certificate, report, "libssl.so.3")) as capture:
        events = [event for event in capture if isinstance(event, plainwire.DataEvent)]
    done = read_report(report)
    assert {(event.ssl, event.direction): event.data for event in events} == done.moved
    assert {event.pid for event in events} == {done.pid}


def test_async(certificate: Certificate, tmp_path: Path) -> None:
    async def first_two(pid: int, process: Told) -> list[bytes]:
        found = []
        async with plainwire.Capture(pids=[pid]) as capture:
            with pytest.raises(TimeoutError):  # nothing is said yet; giving up loses nothing
                await asyncio.wait_for(anext(capture), 0.2)
            await asyncio.to_thread(process.say, "in a coroutine")
            async for event in capture:
                if isinstance(event, plainwire.DataEvent):
                    found.append(event.data)
                if len(found) == 2:
                    break
        return found

    with Told(certificate, tmp_path, "libssl.so.3") as process:
        assert asyncio.run(first_two(process.pid, process)) == [b"in a coroutine\n"] * 2


def test_lengths_without_the_bytes(certificate: Certificate, tmp_path: Path) -> None:
    options = {"payload": False, "max_events": 2}
    with (
        Told(certificate, tmp_path, "libssl.so.3") as process,
        plainwire.Capture(pids=[process.pid], **options) as capture,
    ):
        process.say("x" * 900)
        events = [event for event in capture if isinstance(event, plainwire.DataEvent)]
    assert [(event.length, event.data, event.note) for event in events] == [(901, b"", "length only")] * 2


def test_entering_raises_what_the_user_can_act_on() -> None:
    with pytest.raises(plainwire.PlainwireError, match="no process with pid"), plainwire.Capture(pids=[2**22 + 1]):
        pass


@pytest.mark.parametrize("options", [{"duration": 0.1}, {"command": ["true"]}])
def test_nothing_stays_open(options: dict[str, Any]) -> None:
    def descriptors() -> int:
        gc.collect()  # what other tests have left
        return len(list(Path("/proc/self/fd").iterdir()))

    with plainwire.Capture(**options) as capture:
        list(capture)
    before = descriptors()
    for _ in range(2):
        with plainwire.Capture(**options) as capture:
            list(capture)
    assert descriptors() == before
