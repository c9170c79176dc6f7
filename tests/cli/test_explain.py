"""`plainwire explain` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.compiled import compile_library, functions
from tests.support.plainwire import COMMAND, plainwire
from tests.support.processes import wait_until
from tests.support.waiting_python import python

LOAD = "import ctypes, sys; library = ctypes.CDLL(sys.argv[1])"


def test_text(tmp_path: Path) -> None:
    library = compile_library(tmp_path, source=functions(["SSL_read", "SSL_write", "SSL_free"]))
    with python(LOAD, str(library)) as child:
        told = plainwire("explain", str(child.pid))
    assert told.returncode == 0
    assert told.stderr == ""
    assert f"OpenSSL  {library}\n" in told.stdout
    assert "captured by the module openssl" in told.stdout
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["entry", "and", "return"] in [line[2:] for line in lines if line[:1] == ["SSL_read"]]
    assert ["entry"] in [line[2:] for line in lines if line[:1] == ["SSL_free"]]
    assert f"plainwire capture --pid {child.pid}" in told.stdout


def test_json(tmp_path: Path) -> None:
    with python(LOAD, str(compile_library(tmp_path, source=functions(["SSL_read", "SSL_write"])))) as child:
        told = plainwire("explain", str(child.pid), "--json")
    explanation = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    assert (explanation["kind"], explanation["schema"], explanation["pid"]) == ("explanation", 1, child.pid)
    assert explanation["capturable"] is True
    assert [function["name"] for function in explanation["libraries"][0]["functions"]] == ["SSL_read", "SSL_write"]


def test_nothing_to_capture() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        told = plainwire("explain", str(child.pid))
        child.kill()
    assert told.returncode == 0
    assert "Nothing can be captured: it maps no TLS library" in told.stdout


def test_no_such_process() -> None:
    told = plainwire("explain", "4194304")
    assert told.returncode == 2
    assert told.stderr == "plainwire: no process with pid 4194304\n"
    assert told.stdout == ""


@pytest.mark.parametrize("argument", ["0", "-1", "abc"])
def test_no_number_of_a_process(argument: str) -> None:
    told = plainwire("explain", argument)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_without_the_capability() -> None:
    with subprocess.Popen(["setpriv", "--reuid=65534", "--clear-groups", "sleep", "60"]) as child:
        wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", "sleep to run")
        dropped = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", COMMAND]
        told = subprocess.run([*dropped, "explain", str(child.pid)], capture_output=True, text=True, check=False)
        child.kill()
    assert told.returncode == 2
    assert "CAP_SYS_PTRACE" in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_chosen_by_the_process_cannot_steer_the_terminal(tmp_path: Path, options: list[str]) -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e\udcff\n"
    path = tmp_path / f"lib{evil}.so"
    shutil.copy(compile_library(tmp_path, source=functions(["SSL_read", "SSL_write"])), path)
    name = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\x1b[31mevil\\n'); "
    with python(name + LOAD, os.fsdecode(path), os.fsdecode(evil)) as child:
        told = plainwire("explain", str(child.pid), *options)
    assert told.returncode == 0, told.stderr
    shown = told.stdout.replace("\n", "")
    assert shown.isprintable()
    assert "owned" in shown
