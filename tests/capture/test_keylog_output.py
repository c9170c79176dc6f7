"""Where the lines of a key log go, and what reads them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.keylog_judge import NO_DATA
from tests.support.keylogs import TLS13_LABELS, lines, randoms
from tests.support.plainwire import Event, capture_of
from tests.support.processes import wait_until

pytestmark = pytest.mark.bpf


def test_the_file_follows_the_connections_and_is_private(
    tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    ours = tmp_path / "ours"
    with run_plainwire(*NO_DATA, "--keylog", ours, "--pid", str(judge.pid)):
        for expected in (1, 2, 3):
            subprocess.run(["curl", "-sk", f"{judge.url}/hello"], check=True, stdout=subprocess.DEVNULL)
            wait_until(lambda: len(randoms(lines(ours))) == expected, "the secrets", timeout=1)  # noqa: B023
        assert stat.S_IMODE(ours.stat().st_mode) == 0o600


def test_on_stdout(judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    capture = capture_of(
        run_plainwire, "--no-data", "--keylog", "-", "--", "sh", "-c", f"curl -sk {judge.url}/hello >/dev/null"
    )
    assert set(map(str.strip, capture.lines)) == lines(judge.files / "judge.keys")


def test_as_json_and_beside_the_data(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    command = ("curl", "-sk", "-o", "/dev/null", f"{judge.url}/hello")
    capture = capture_of(run_plainwire, "--json", "--keylog", tmp_path / "ours", "--", *command)
    secrets: list[Event] = capture.events("secret")
    written = {f"{event['label']} {event['client_random']} {event['secret']}" for event in secrets}
    assert written == lines(tmp_path / "ours") == lines(judge.files / "judge.keys")
    assert {event["comm"] for event in secrets} == {"curl"}
    assert {os.path.basename(event["library"]) for event in secrets} == {"libssl.so.3"}  # noqa: PTH119
    assert {event["direction"] for event in capture.events("data")} == {"read", "write"}


def test_without_data_no_data_probe_exists(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    command = ("curl", "-sk", "-o", "/dev/null", f"{judge.url}/hello")
    capture = capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "ours", "--", *command)
    assert capture.events("data") == []
    assert len(capture.events("secret")) == len(TLS13_LABELS)


@contextmanager
def packets_of(port: int, file: Path) -> Iterator[None]:
    """Packets from and to a port of the loopback, as tcpdump sees them."""
    command = ["tcpdump", "-i", "lo", "-U", "-s", "0", "-w", str(file), f"tcp port {port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        try:
            for line in tcpdump.stderr:
                if "listening on" in line:
                    break
            yield
            time.sleep(1)  # until the kernel has handed over its last block
        finally:
            tcpdump.terminate()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_wireshark_decrypts_every_request_and_response(
    version: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    for tool in ("tcpdump", "tshark"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    pages = [f"/page{number}" for number in range(10)]
    with servers.nginx(tmp_path / "nginx", certificate, versions=[version]) as server:
        for page in pages:
            (server.files / page[1:]).write_text(page)
        with packets_of(server.port, tmp_path / "packets"):
            # Two connections, the pages on each one after another.
            urls = " ".join(f"{server.url}{page}" for page in pages)
            script = f"curl -sk {urls} && curl -sk {urls}"
            capture_of(run_plainwire, "--no-data", "--keylog", tmp_path / "keys", "--", "sh", "-c", script)
    fields = ["-T", "fields", "-e", "http.request.uri", "-e", "http.response.code", "-e", "http.file_data"]
    tshark = ["tshark", "-r", tmp_path / "packets", "-o", f"tls.keylog_file:{tmp_path / 'keys'}", "-Y", "http"]
    shown = subprocess.run(
        [*tshark, "-d", f"tcp.port=={server.port},tls", *fields], capture_output=True, text=True, check=True
    )
    seen = [line.split("\t") for line in shown.stdout.splitlines()]
    assert [uri for uri, _, _ in seen if uri] == pages * 2
    assert [body for _, code, body in seen if code == "200"] == pages * 2
