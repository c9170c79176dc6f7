"""`make demo`: a real HTTPS server, real clients, and what plainwire sees of them.

Exits 0 when everything that the programs said was seen, 1 when something was not. Where this machine forbids capture it
says why and shows a recording instead.

usage: demo.py [--keep FILE]    also keep the recording; demo/exchange.plainwire was made so
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support import servers  # noqa: E402  # the servers that the tests use
from tests.support.certificate import Certificate, make_certificate  # noqa: E402
from tests.support.processes import end  # noqa: E402

PLAINWIRE = Path(sys.executable).with_name("plainwire")
SHIPPED = ROOT / "demo" / "exchange.plainwire"
PAGE = {"message": "The server's answer, decrypted nowhere on its way.", "account": 90125}
# What each client says: it must be seen where it is written and where it is read.
SECRETS = {
    "curl": b"Authorization: Bearer curl-4711",
    "Python": b"X-Api-Key: python-1234",
    "node": b"cookie: session=node-7781",
}

NEXT = """
What to try next:
  sudo .venv/bin/plainwire capture -- curl -s https://example.org   what one command says, from its first byte on
  sudo .venv/bin/plainwire capture --pid PID                        a program that runs already; no restart
  sudo .venv/bin/plainwire capture --comm NAME --json | head        by name, one JSON object a line (docs/json.md)
  sudo .venv/bin/plainwire capture                                  everything that this machine says over TLS
  sudo .venv/bin/plainwire explain PID                              which TLS libraries a process has
"""


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--keep", type=Path)
    keep: Path | None = options.parse_args().keep

    doctor = subprocess.run([PLAINWIRE, "doctor"], capture_output=True, text=True, check=False)
    if doctor.returncode != 0:
        return show_recording(doctor.stdout.splitlines()[-1])
    with tempfile.TemporaryDirectory(prefix="plainwire-demo-") as name:
        recording = Path(name) / "exchange.plainwire"
        capture_exchange(Path(name), recording)
        unseen = what_is_missing(recording, installed_clients())
        if keep:
            shutil.copyfile(recording, keep)
    if unseen:
        say(f"FAILED. Not seen: {', '.join(unseen)}")
        return 1
    say("Every request and answer above was read from the memory of the programs as they sent and received it.")
    print(NEXT, flush=True)
    return 0


def show_recording(reason: str) -> int:
    """What there is to see where nothing can be captured."""
    say(f"{reason}\n(`.venv/bin/plainwire doctor` tells more.)")
    say("So this is a RECORDING of nginx, curl, Python and node, made by plainwire on another machine. NOT LIVE:")
    subprocess.run([PLAINWIRE, "read", SHIPPED], check=True)
    say("End of the recording. On a machine that permits it, `sudo make demo` shows the same live.")
    return 1 if what_is_missing(SHIPPED, list(SECRETS)) else 0


def capture_exchange(folder: Path, recording: Path) -> None:
    """Shows the exchange on stdout, live, and keeps its raw events."""
    certificate = make_certificate(folder)
    with https_server(folder / "server", certificate) as server, clients(server.url, certificate) as driver:
        (server.files / "account.json").write_text(json.dumps(PAGE))
        pids = [server.pid, *children(server.pid), driver.pid]
        say(
            f"An HTTPS server runs on {server.url} (pid {server.pid}), started before the capture.\n"
            f"Clients will ask it for /account.json: {', '.join(installed_clients())}. There is no proxy between them."
        )
        only = [word for pid in pids for word in ("--pid", str(pid))]
        command: list[str | Path] = [PLAINWIRE, "capture", *only, "--follow", "--record", recording]
        say(f"$ plainwire capture {' '.join(only)} --follow")
        capture = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert capture.stderr is not None
            for line in capture.stderr:
                print(line, end="", flush=True)
                if line.startswith("capturing"):
                    break
            driver.communicate(b"go\n", timeout=120)
            capture.send_signal(signal.SIGINT)
            print(capture.communicate(timeout=20)[1], end="", flush=True)
        finally:
            if capture.poll() is None:
                capture.kill()


@contextmanager
def https_server(folder: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """nginx where it is installed, else openssl's own."""
    with (
        servers.nginx(folder, certificate)
        if shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        else servers.openssl_server(folder, certificate)
    ) as server:
        yield server


@contextmanager
def clients(url: str, certificate: Certificate) -> Iterator[subprocess.Popen[bytes]]:
    """The process that will start the clients, once it is told to."""
    program = Path(__file__).with_name("clients.py")
    command: list[str | Path] = [sys.executable, program, f"{url}/account.json", certificate.certificate]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        end(process)


def children(pid: int) -> list[int]:
    """nginx reads and writes in its worker."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def installed_clients() -> list[str]:
    """curl and Python are always there, by scripts/setup."""
    return [client for client in SECRETS if client != "node" or shutil.which("node")]


def what_is_missing(recording: Path, clients: list[str]) -> list[str]:
    """What was said and is not in the recording, in words."""
    read = subprocess.run([PLAINWIRE, "read", "--json", recording], capture_output=True, check=True)
    said = {(who, direction): b"" for who in ("client", "server") for direction in ("read", "write")}
    for event in map(json.loads, read.stdout.splitlines()):
        if event["kind"] == "data":
            who = "server" if event["comm"] in ("nginx", "openssl") else "client"
            said[who, event["direction"]] += base64.b64decode(event["data"])
    missing = []
    for client in clients:
        for who, direction in (("client", "write"), ("server", "read")):
            if SECRETS[client] not in said[who, direction]:
                missing.append(f"{client}'s request in what the {who} {direction}s")
    for who, direction in (("server", "write"), ("client", "read")):
        count = said[who, direction].count(json.dumps(PAGE).encode())
        if count != len(clients):
            missing.append(f"the answer in what the {who} {direction}s: {count} of {len(clients)} times")
    return missing


def say(text: str) -> None:
    print(f"\n{text}" if sys.stdout.isatty() else text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell tells it
