"""A server and clients by asyncio, in one process; asyncio gives TLS its bytes through memory BIOs.

usage: asyncio_echo.py CERTIFICATE KEY CONNECTIONS SIZE
"""

import asyncio
import random
import ssl
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(30_000):
        writer.write(received)
        await writer.drain()
    writer.close()


async def talk(number: int, port: int, size: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    data = random.Random(number).randbytes(size)
    writer.write(data)
    assert await reader.readexactly(size) == data
    writer.close()


async def main(certificate: str, key: str, connections: str, size: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*(talk(number, port, int(size)) for number in range(int(connections))))
    server.close()


asyncio.run(main(*sys.argv[1:]))
