"""`plainwire maps` as a user runs it: it needs neither root nor libbpf."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from plainwire.kernel.map_memory import possible_cpus
from tests.support.plainwire import COMMAND, plainwire

# Not all: in a checkout below a home folder root needs CAP_DAC_OVERRIDE to read it.
DROP = "-bpf,-perfmon,-sys_ptrace,-sys_admin"


def maps() -> dict[str, Any]:
    finished = plainwire("maps", "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    told: dict[str, Any] = json.loads(finished.stdout)
    return told


def test_every_map_says_what_it_is_for() -> None:
    assert [row["name"] for row in maps()["maps"] if not row["purpose"]] == []


def test_a_row() -> None:
    (row,) = [row for row in maps()["maps"] if row["name"] == "data_buffer_heap"]
    assert (row["module"], row["type"], row["key"], row["value"]) == (
        "openssl",
        "PERCPU_ARRAY",
        "u32",
        "ssl_data_event_t",
    )
    assert row["bytes"] >= possible_cpus() * row["value_size"] >= possible_cpus() * 16384


def test_memory_is_counted_once() -> None:
    told = maps()
    buffers = {buffer["name"]: buffer for buffer in told["buffers"]}
    assert told["cpus"] == possible_cpus()
    assert told["bytes"] == sum(row["bytes"] or 0 for row in told["maps"]) + sum(b["bytes"] for b in buffers.values())
    for row in told["maps"]:
        elsewhere = row["shared_with"] is not None or row["buffer"] is not None
        assert (row["bytes"] is None) == elsewhere, row
        if row["buffer"]:
            assert f"{row['module']}.{row['name']}" in buffers[row["buffer"]]["maps"]


def test_text_has_a_line_for_each_map() -> None:
    text = plainwire("maps")
    assert text.returncode == 0
    for row in maps()["maps"]:
        lines = [line for line in text.stdout.splitlines() if line.strip().startswith(f"{row['name']} ")]
        assert any(row["type"] in line and line.endswith(row["purpose"]) for line in lines), row


def test_it_needs_no_libbpf() -> None:
    code = "import sys, plainwire.cli.commands.maps; sys.exit('cffi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_needs_no_privileges() -> None:
    without = ["setpriv", "--bounding-set", DROP, "--inh-caps", DROP] if os.geteuid() == 0 else []
    finished = subprocess.run([*without, COMMAND, "maps", "--json"], capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["maps"]
