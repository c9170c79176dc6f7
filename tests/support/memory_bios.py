"""Programs that move TLS records themselves, and what can stand between them."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificate import Certificate
from tests.support.tls_program import PROGRAMS

NODE = shutil.which("node")
with_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
HTTP_TEXT = re.compile(rb"(?:client|server)-\d{4}-\d{4}")


def asyncio_peers(certificate: Certificate, report: Path, host: str, connections: int, turns: int) -> list[str]:
    fixed = [sys.executable, PROGRAMS / "asyncio_peers.py", certificate.certificate, certificate.key, report, host]
    return [str(part) for part in (*fixed, connections, turns)]


def node_peers(role: str, certificate: Certificate, report: Path, host: str, port: int, *numbers: int) -> list[str]:
    assert NODE
    fixed = [NODE, PROGRAMS / "node_peers.js", role, certificate.certificate, certificate.key, report, host, port]
    return [str(part) for part in (*fixed, *numbers)]


@contextmanager
def passing_proxy(port_of: dict[str, int]) -> Iterator[int]:
    """A port whose connections are passed on to port_of["server"]."""
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while "server" not in port_of:  # it prints its port, and connects at once
            await asyncio.sleep(0.01)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port_of["server"])
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, backlog=200))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        server.close()
        loop.close()
