"""Secrets of connections by an external pre-shared key, whose early secret is not the protocol's constant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.keylogs import TLS13_LABELS, labels, lines
from tests.support.servers import openssl_server

pytestmark = pytest.mark.bpf

KEY = bytes(range(32)).hex()

# Options of both ends, of the server and of the client.
HANDSHAKES = {
    "1.3 psk_dhe_ke": (("-tls1_3",), ("-nocert",), ()),
    # No group in common: what is left is a handshake without a key exchange (RFC 8446, section 4.2.9).
    "1.3 psk_ke": (("-tls1_3", "-allow_no_dhe_kex"), ("-nocert", "-groups", "P-256"), ("-groups", "X25519")),
    "1.2 PSK": (("-tls1_2",), ("-nocert",), ("-cipher", "PSK-AES128-GCM-SHA256")),
    "1.2 ECDHE-PSK": (("-tls1_2",), ("-nocert",), ("-cipher", "ECDHE-PSK-AES128-CBC-SHA256")),
    "1.2 RSA-PSK": (("-tls1_2",), (), ("-cipher", "RSA-PSK-AES256-GCM-SHA384")),
}


@pytest.mark.parametrize("by", [("--keys-by", "log"), ("--keys-by", "structure"), ("--verify-keys",)])
@pytest.mark.parametrize("handshake", HANDSHAKES)
def test_client_and_server(
    handshake: str, by: tuple[str, ...], tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    of_both, of_server, of_client = HANDSHAKES[handshake]
    ours, theirs, told = tmp_path / "ours", tmp_path / "theirs", tmp_path / "told"
    options = ("-WWW", "-psk", KEY, "-keylogfile", "judge.keys", *of_both, *of_server)
    with openssl_server(tmp_path / "server", certificate, options=options) as server:
        (server.files / "hello").write_text("hello")
        client = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-keylogfile", str(theirs)]
        client += ["-psk", KEY, *of_both, *of_client, "-ign_eof"]
        script = f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | {' '.join(client)} >{told} 2>&1"
        common = ("--no-data", "--json", *by)
        with run_plainwire(*common, "--keylog", tmp_path / "server's", "--pid", str(server.pid)) as of_the_server:
            capture = run_plainwire(*common, "--keylog", ours, "--", "sh", "-c", script)
            assert capture.wait() == 0
        judged = lines(server.files / "judge.keys")
    assert_used_the_key(handshake, told.read_text(errors="replace"))
    expected = TLS13_LABELS if handshake.startswith("1.3") else {"CLIENT_RANDOM"}
    for one, written, truth in ((capture, ours, lines(theirs)), (of_the_server, tmp_path / "server's", judged)):
        if "structure" in by:
            truth = {line for line in truth if not line.startswith("RSA ")}  # noqa: PLW2901
        assert lines(written) == truth
        assert labels(truth) - {"RSA"} == expected
        (stats,) = one.events("stats")
        assert stats["secrets_verified"] == (len(expected) if by == ("--verify-keys",) else 0)
        assert stats["losses"] == {}


def assert_used_the_key(handshake: str, told: str) -> None:
    """By what s_client says of its connection."""
    assert "hello" in told
    if handshake.startswith("1.3"):
        assert "Reused, TLSv1.3" in told  # as which OpenSSL counts a pre-shared key
    else:
        assert "PSK identity: Client_identity" in told
    with_ephemeral_keys = handshake in ("1.3 psk_dhe_ke", "1.2 ECDHE-PSK")
    assert ("Server Temp Key" in told) == with_ephemeral_keys
