"""A self-signed certificate for 127.0.0.1, ::1 and localhost."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; clients trust the certificate itself (`curl --cacert`)."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """RSA, since TLS 1.2's RSA key exchange needs it and every cipher of the tests takes it."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-addext", NAMES, "-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return made
