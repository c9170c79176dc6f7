"""Clients and a server by asyncio streams, whose TLS works on memory BIOs; reports as peers.py does.

usage: asyncio_peers.py CERTIFICATE KEY REPORT HOST CONNECTIONS TURNS

All connections are open at once; each side says as many texts as there are turns. Variables:
PEERS_WAIT     before each turn but the first, "ready" is printed and a line of standard input read; "end" ends it all
PEERS_WORKERS  so many forked processes serve; each leaves a report of its own, REPORT.PID
PEERS_PROXY    clients connect to this port instead; the server's own is printed
PEERS_MAPPED   the server accepts IPv4 on an IPv6 socket
PEERS_PORTS    the server's port, and the first client's: "4433,40100"
PEERS_LOOP     a module with another event loop, such as uvloop
"""

import asyncio
import importlib
import json
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

certificate, key, report, host, connections, turns = sys.argv[1:]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE
said: dict[str, tuple[object, object]] = {}
own_ports = [int(port) for port in os.environ.get("PEERS_PORTS", "0,0").split(",")]
LENGTH = len("client 0000.0000")


def say(writer: asyncio.StreamWriter, text: str) -> None:
    said[text] = (writer.get_extra_info("sockname"), writer.get_extra_info("peername"))
    writer.write(text.encode())


async def hear(reader: asyncio.StreamReader) -> str:
    return (await reader.readexactly(LENGTH)).decode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            say(writer, (await hear(reader)).replace("client", "server"))
    except (asyncio.IncompleteReadError, asyncio.CancelledError):
        writer.close()


async def connect(number: int, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    bound = (host, own_ports[1] + number) if own_ports[1] else None
    return await asyncio.open_connection(host, port, ssl=client_context, local_addr=bound)


async def talk(number: int, turn: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    say(writer, f"client {number:04}.{turn:04}")
    assert await hear(reader) == f"server {number:04}.{turn:04}"


async def serve(listener: socket.socket) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(answer, sock=listener, ssl=server_context)
    await stop.wait()


async def speak(port: int) -> None:
    ends = await asyncio.gather(*(connect(number, port) for number in range(int(connections))))
    for turn in range(int(turns)):
        if turn and "PEERS_WAIT" in os.environ:
            print("ready", flush=True)
            if await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline) == "end\n":
                break
        await asyncio.gather(*(talk(number, turn, *end) for number, end in enumerate(ends)))
    for _, writer in ends:
        writer.close()


async def both(listener: socket.socket, port: int) -> None:
    server = await asyncio.start_server(answer, sock=listener, ssl=server_context)
    await speak(port)
    server.close()


def write_report(path: str) -> None:
    Path(path).write_text(json.dumps({"pid": os.getpid(), "said": said}))


def fork_worker(listener: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        asyncio.run(serve(listener))
        write_report(f"{report}.{os.getpid()}")
        os._exit(0)
    return pid


def main() -> None:
    if loop := os.environ.get("PEERS_LOOP"):
        importlib.import_module(loop).install()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host == "127.0.0.1" and "PEERS_MAPPED" in os.environ:
        listener = socket.create_server(("::", own_ports[0]), family=socket.AF_INET6, dualstack_ipv6=True, backlog=200)
    else:
        listener = socket.create_server((host, own_ports[0]), family=family, backlog=200)
    port = int(os.environ.get("PEERS_PROXY", listener.getsockname()[1]))
    if "PEERS_PROXY" in os.environ:
        print(listener.getsockname()[1], flush=True)
    workers = [fork_worker(listener) for _ in range(int(os.environ.get("PEERS_WORKERS", "0")))]
    asyncio.run(speak(port) if workers else both(listener, port))
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    write_report(report)


main()
