"""Real TLS servers on 127.0.0.1, each in processes of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificate import Certificate
from tests.support.processes import free_port, running

TLS_VERSIONS = ("1.2", "1.3")

NGINX = """\
daemon off;
worker_processes {workers};
error_log stderr;
pid nginx.pid;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_max_body_size 32m;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_protocols {protocols};
        ssl_certificate {certificate.certificate};
        ssl_certificate_key {certificate.key};
        root files;
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    pid: int  # of the process that was started; nginx's workers are its children
    port: int
    files: Path  # nginx and `s_server -WWW`: the folder that is served

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextmanager
def nginx(
    folder: Path, certificate: Certificate, *, versions: Sequence[str] = TLS_VERSIONS, workers: int = 1
) -> Iterator[Server]:
    """nginx, which serves the files that the test puts into `server.files`. `folder` must be new."""
    files = folder / "files"
    files.mkdir(parents=True)
    port = free_port()
    configuration = NGINX.format(
        workers=workers,
        user="user root;" if Path("/proc/self").stat().st_uid == 0 else "",  # pytest's folders are closed to others
        port=port,
        protocols=" ".join(f"TLSv{version}" for version in versions),
        certificate=certificate,
    )
    (folder / "nginx.conf").write_text(configuration)
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    command: list[str | Path] = [binary, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
    with running(command, port=port) as process:
        yield Server(process.pid, port, files)


@contextmanager
def openssl_server(
    folder: Path, certificate: Certificate, *, version: str | None = None, options: Sequence[str] = ("-WWW",)
) -> Iterator[Server]:
    """`openssl s_server`: one connection at a time; with -WWW it serves `server.files`. `folder` must be new."""
    files = folder / "files"
    files.mkdir(parents=True)
    port = free_port()
    command: list[str | Path] = [
        "openssl",
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-quiet",
        "-cert",
        certificate.certificate,
    ]
    command += ["-key", certificate.key, *options]
    if version is not None:
        command.append(f"-tls{version.replace('.', '_')}")
    with running(command, port=port, cwd=files) as process:
        yield Server(process.pid, port, files)


@contextmanager
def python_echo_server(folder: Path, certificate: Certificate, *, version: str | None = None) -> Iterator[Server]:
    """Python's ssl module, a thread for each connection: it sends back what it receives (echo_server.py)."""
    port = free_port()
    program = Path(__file__).with_name("echo_server.py")
    command: list[str | Path] = [
        sys.executable,
        program,
        str(port),
        certificate.certificate,
        certificate.key,
        version or "any",
    ]
    with running(command, port=port) as process:
        yield Server(process.pid, port, folder)
