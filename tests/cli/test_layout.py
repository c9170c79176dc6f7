from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import plainwire as package
from plainwire.inspect.elf import ElfFile
from plainwire.layouts.gotls import CLOSE, READ, WRITE_KEY_LOG, WRITE_RECORD
from plainwire.layouts.layout import VALUES
from tests.layouts.test_real_builds import system_library
from tests.support import go
from tests.support.plainwire import plainwire


def test_json_tells_each_value_with_its_ways() -> None:
    library = system_library()
    result = plainwire("layout", str(library), "--json", "--no-cache")
    assert (result.returncode, result.stderr) == (0, "")
    [line] = result.stdout.splitlines()
    layout = json.loads(line)
    with ElfFile(library) as elf:
        assert layout["build_id"] == elf.build_id
    assert layout["implementation"] == "OpenSSL"
    assert layout["values"].keys() == VALUES.keys()
    assert layout["values"]["version"]["ways"] == ["getters", "calibration"]
    assert all(value["agree"] and value["path"] for value in layout["values"].values())
    assert layout["missing"] == layout["notes"] == []


def test_a_process_shows_each_library_that_it_maps() -> None:
    code = "import ssl, sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        result = plainwire("layout", str(process.pid))
        process.kill()
    assert result.returncode == 0
    assert f"{system_library()}: OpenSSL " in result.stdout
    assert "client_app_traffic_secret" in result.stdout


def test_the_code_alone_is_read_on_request() -> None:
    result = plainwire("layout", str(system_library()), "--json", "--no-cache", "--no-run")
    layout = json.loads(result.stdout)
    assert {way for value in layout["values"].values() for way in value["ways"]} == {"getters"}
    assert layout["notes"] == ["calibration: switched off"]


@pytest.mark.parametrize("target", ["/bin/true", "/etc/passwd", "/no/such/file", "4194303"])
def test_what_has_no_layout_costs_one_line(target: str) -> None:
    result = plainwire("layout", target)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("plainwire: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root to become another user")
def test_works_without_privileges(tmp_path: Path) -> None:
    """As a user who owns nothing: the system's file is root's, so that its code may run as that user."""
    python = Path("/usr/bin/python3")
    places = [Path(module.__file__ or "").parents[1] for module in (msgspec, package)]
    path = ":".join(map(str, dict.fromkeys(places)))
    environment = {"PYTHONPATH": path, "XDG_CACHE_HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    probe = [*as_nobody, str(python), "-c", "import msgspec, capstone, click, plainwire"]
    if subprocess.run(probe, env=environment, capture_output=True, check=False).returncode != 0:
        pytest.skip("the system's Python can't use this environment's packages as another user")
    code = "from plainwire.cli.main import main; main()"
    command = [*as_nobody, str(python), "-c", code, "layout", str(system_library()), "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    layout = json.loads(result.stdout)
    assert layout["notes"] == []
    assert layout["values"].keys() == VALUES.keys()


@pytest.mark.parametrize(
    ("version", "environment", "abi", "machine"),
    [
        (go.OLDEST, {}, "stack", "x86_64"),
        (go.NEWEST, {}, "register", "x86_64"),
        (go.NEWEST, {"GOARCH": "arm64"}, "register", "aarch64"),
    ],
)
def test_a_go_program(version: str, environment: dict[str, str], abi: str, machine: str) -> None:
    """Its functions' addresses are those of its symbols' code, as Go's own `nm` and `version` tell them."""
    path = go.build(version, "client", **environment)
    result = plainwire("layout", str(path), "--json")
    layout = json.loads(result.stdout)
    assert (layout["abi"], layout["machine"], layout["key_log"], layout["notes"]) == (abi, machine, True, [])
    assert version in layout["go_version"]
    lines = [line.split(maxsplit=3) for line in go.tool(version, "nm", "-size", path).splitlines()]
    starts = {fields[3]: (int(fields[0], 16), int(fields[1])) for fields in lines if fields[2:3] == ["T"]}
    assert layout["functions"].keys() == {READ, WRITE_RECORD, WRITE_KEY_LOG, CLOSE}
    for name, function in layout["functions"].items():
        start, size = starts[name]
        assert all(start < address < start + size for address in (function["body"], *function["returns"]))
    assert len(layout["functions"][READ]["returns"]) > 2
    text = plainwire("layout", str(path)).stdout
    assert f"RETs at {hex(layout['functions'][READ]['returns'][0])}" in text
    assert "keys: by the key log function" in text


def test_a_go_program_without_tls_says_so() -> None:
    result = plainwire("layout", str(go.build(go.NEWEST, "plain")))
    assert (result.returncode, result.stdout) == (2, "")
    assert "without crypto/tls" in result.stderr
