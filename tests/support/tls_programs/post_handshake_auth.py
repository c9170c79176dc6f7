"""TLS 1.3 post-handshake authentication (RFC 8446, section 4.6.2) between two threads, a step for each line of stdin.

usage: post_handshake_auth.py CERTIFICATE KEY KEYLOG
"""

import socket
import ssl
import sys
import threading

certificate, key, keylog = sys.argv[1:]
contexts = {}
for server in (True, False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = False
    context.post_handshake_auth = True
    context.keylog_filename = keylog
    contexts[server] = context


def step(name):
    print(name, flush=True)
    assert sys.stdin.readline()


def handshake(end):
    ends[end is right] = contexts[end is right].wrap_socket(end, server_side=end is right)


left, right = socket.socketpair()
ends = {}
step("start")
threads = [threading.Thread(target=handshake, args=(end,)) for end in (left, right)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
client, server = ends[False], ends[True]


def exchange(text):
    for sender, receiver in ((client, server), (server, client)):
        sender.sendall(text)
        assert receiver.recv(100) == text


exchange(b"before")
assert not server.getpeercert()
server.verify_client_post_handshake()
exchange(b"with the request")
exchange(b"after")
assert server.getpeercert()
step("authenticated")
exchange(b"at last")
step("done")
