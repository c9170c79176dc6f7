"""Threads that wait in SSL_read for bytes that never come.

usage: blocked_readers.py CERTIFICATE KEY THREADS
"""

import socket
import ssl
import sys
import threading

certificate, key, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE


def serve(plain: socket.socket) -> None:
    server_context.wrap_socket(plain, server_side=True).recv(1)


def connect(plain: socket.socket) -> None:
    client_context.wrap_socket(plain).recv(1)


for _ in range(threads // 2):
    left, right = socket.socketpair()
    threading.Thread(target=serve, args=(left,)).start()
    threading.Thread(target=connect, args=(right,)).start()
