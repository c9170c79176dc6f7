"""Key logs: the ones that programs write themselves judge ours."""

from __future__ import annotations

from pathlib import Path

TLS13_LABELS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
}


def lines(*paths: Path) -> set[str]:
    """The lines of key logs, without comments and with hexadecimal digits in lower case."""
    found = set()
    for path in paths:
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                label, random, secret = line.split()
                found.add(f"{label} {random.lower()} {secret.lower()}")
    return found


def labels(of: set[str]) -> set[str]:
    """Which labels occur."""
    return {line.split()[0] for line in of}


def randoms(of: set[str]) -> set[str]:
    """The connections: their client randoms."""
    return {line.split()[1] for line in of if not line.startswith("RSA ")}
