"""No event holds bytes of two tasks, on a kernel that preempts programs of uprobes wherever they are.

A buffer for each CPU alone does not ensure that: with it, some percent of these events were mixed.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.certificate import Certificate
from tests.support.plainwire import COMMAND, Event
from tests.vm.conftest import VmRun

pytestmark = pytest.mark.vm

WRITERS = Path(__file__).with_name("writers.c")
BLOCK = struct.Struct("=IIII")  # struct block of writers.c: pid, tid, call, index
# Of the kernels to boot: one by itself, which takes a minute; make test-kernels chooses.
VERSIONS = os.environ.get("PLAINWIRE_TEST_KERNELS", "6.12").split()
PROCESSES, THREADS, CALLS = 6, 4, 100  # on two CPUs


def is_whole(event: Event) -> bool:
    """Whether each block of the payload is the one that this task wrote at this place of one call."""
    blocks = list(BLOCK.iter_unpack(base64.b64decode(event["data"])))
    if not blocks:
        return False
    first, call = event["offset"] // BLOCK.size, blocks[0][2]
    return blocks == [(event["pid"], event["tid"], call, first + place) for place in range(len(blocks))]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("version", VERSIONS)
def test_no_event_mixes_the_bytes_of_two_tasks(
    vm_run: VmRun, tmp_path: Path, certificate: Certificate, version: str
) -> None:
    writers = tmp_path / "writers"
    libraries = ["-l:libssl.so.3", "-l:libcrypto.so.3", "-lpthread"]
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", writers, WRITERS, *libraries], check=True)
    recording = tmp_path / "events.plainwire"
    work = [writers, certificate.certificate, certificate.key, PROCESSES, THREADS, CALLS]
    capture = ["plainwire", "capture", "--record", recording, "--out", "/dev/null", "--", *map(str, work)]
    (captured,) = vm_run(version, [capture], cmdline=["preempt=full"], timeout=1000, writable=tmp_path)
    assert captured.status == 0, captured.stderr

    read = subprocess.run([COMMAND, "read", "--json", recording], capture_output=True, check=True)
    events = [event for line in read.stdout.splitlines() if (event := json.loads(line))["kind"] == "data"]
    mixed = sum(not is_whole(event) for event in events)
    assert mixed == 0, f"{mixed} of {len(events)} events"
    # Nothing was lost either, so each task's events are all here, each call once as written and once as read.
    assert "nothing lost" in captured.stderr
    calls = Counter((event["tid"], event["direction"]) for event in events)
    assert len(calls) == 2 * PROCESSES * THREADS
    assert set(calls.values()) == {CALLS}
