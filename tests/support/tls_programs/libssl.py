"""libssl through ctypes, for programs that a capture looks at: each end keeps what its calls really moved.

The programs next to this file import it as a neighbour. What is declared here is from <openssl/ssl.h>, <openssl/bio.h>.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_uint64, c_void_p
from pathlib import Path

SSL_CTRL_MODE = 33
SSL_MODE_ENABLE_PARTIAL_WRITE = 1
SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 2
SSL_CTRL_SET_MIN_PROTO_VERSION = 123
SSL_CTRL_SET_MAX_PROTO_VERSION = 124
VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
SSL_FILETYPE_PEM = 1
BIO_CTRL_FLUSH = 11
BIO_TYPE_SOURCE_SINK = 0x0400
BIO_FLAGS_READ_RETRY = 1 | 8
BIO_FLAGS_WRITE_RETRY = 2 | 8

BIO_WRITE = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
BIO_CTRL = ctypes.CFUNCTYPE(c_long, c_void_p, c_int, c_long, c_void_p)

PROTOTYPES = {
    "SSL_CTX_new": (c_void_p, c_void_p),
    "SSL_CTX_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_CTX_use_certificate_file": (c_int, c_void_p, c_char_p, c_int),
    "SSL_CTX_use_PrivateKey_file": (c_int, c_void_p, c_char_p, c_int),
    "SSL_CTX_set_max_early_data": (c_int, c_void_p, ctypes.c_uint32),
    "SSL_new": (c_void_p, c_void_p),
    "SSL_free": (None, c_void_p),
    "SSL_ctrl": (c_long, c_void_p, c_int, c_long, c_void_p),
    "SSL_set_bio": (None, c_void_p, c_void_p, c_void_p),
    "SSL_set_fd": (c_int, c_void_p, c_int),
    "SSL_set_connect_state": (None, c_void_p),
    "SSL_set_accept_state": (None, c_void_p),
    "SSL_do_handshake": (c_int, c_void_p),
    "SSL_get_error": (c_int, c_void_p, c_int),
    "SSL_get1_session": (c_void_p, c_void_p),
    "SSL_set_session": (c_int, c_void_p, c_void_p),
    "SSL_read": (c_int, c_void_p, c_void_p, c_int),
    "SSL_peek": (c_int, c_void_p, c_void_p, c_int),
    "SSL_write": (c_int, c_void_p, c_void_p, c_int),
    "SSL_read_ex": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "SSL_peek_ex": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "SSL_write_ex": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "SSL_write_ex2": (c_int, c_void_p, c_void_p, c_size_t, c_uint64, POINTER(c_size_t)),
    "SSL_read_early_data": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "SSL_write_early_data": (c_int, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "SSL_sendfile": (ctypes.c_ssize_t, c_void_p, c_int, c_long, c_size_t, c_int),
}
CRYPTO_PROTOTYPES = {
    "BIO_new_bio_pair": (c_int, POINTER(c_void_p), c_size_t, POINTER(c_void_p), c_size_t),
    "BIO_new_fd": (c_void_p, c_int, c_int),
    "BIO_meth_new": (c_void_p, c_int, c_char_p),
    "BIO_meth_set_write": (c_int, c_void_p, BIO_WRITE),
    "BIO_meth_set_read": (c_int, c_void_p, BIO_WRITE),
    "BIO_meth_set_ctrl": (c_int, c_void_p, BIO_CTRL),
    "BIO_new": (c_void_p, c_void_p),
    "BIO_up_ref": (c_int, c_void_p),
    "BIO_set_init": (None, c_void_p, c_int),
    "BIO_set_flags": (None, c_void_p, c_int),
    "BIO_clear_flags": (None, c_void_p, c_int),
}


def declare(library: ctypes.CDLL, prototypes: dict[str, tuple[object, ...]]) -> None:
    """Functions that an older build lacks are left out: calling one is an AttributeError."""
    for name, (result, *arguments) in prototypes.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments


class Library:
    """One libssl file, and the libcrypto that goes with it."""

    def __init__(self, path: str = "libssl.so.3") -> None:
        self.crypto = ctypes.CDLL("libcrypto.so.3")
        self.ssl = ctypes.CDLL(path)
        declare(self.ssl, PROTOTYPES)
        declare(self.crypto, CRYPTO_PROTOTYPES)
        self.ssl.TLS_method.restype = c_void_p
        self.ends: list[End] = []

    def context(self, certificate: str = "", key: str = "", *, version: str | None = None) -> int:
        context: int = self.ssl.SSL_CTX_new(self.ssl.TLS_method())
        if certificate:
            assert self.ssl.SSL_CTX_use_certificate_file(context, certificate.encode(), SSL_FILETYPE_PEM) == 1
            assert self.ssl.SSL_CTX_use_PrivateKey_file(context, key.encode(), SSL_FILETYPE_PEM) == 1
        if version:
            for control in (SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_SET_MAX_PROTO_VERSION):
                self.ssl.SSL_CTX_ctrl(context, control, VERSIONS[version], None)
        return context

    def end(self, context: int, *, server: bool) -> End:
        return End(self, context, server=server)

    def pair(self, certificate: str, key: str, *, version: str | None = None, room: int = 1 << 20) -> tuple[End, End]:
        """A client and a server in this process, joined by buffers of `room` bytes, after their handshake."""
        client = self.end(self.context(version=version), server=False)
        server = self.end(self.context(certificate, key, version=version), server=True)
        join(client, server, room)
        handshake(client, server)
        return client, server

    def custom_bio(self, write: Callable[[bytes], int], read: Callable[[int], bytes]) -> int:
        """A BIO that hands over to Python. write: bytes taken, -1 to try again. read: b"" to try again."""
        method = self.crypto.BIO_meth_new(BIO_TYPE_SOURCE_SINK | 77, b"python")

        def on_write(bio: int, data: int, size: int) -> int:
            self.crypto.BIO_clear_flags(bio, BIO_FLAGS_WRITE_RETRY)
            count = write(ctypes.string_at(data, size))
            if count <= 0:
                self.crypto.BIO_set_flags(bio, BIO_FLAGS_WRITE_RETRY)
            return count

        def on_read(bio: int, data: int, size: int) -> int:
            self.crypto.BIO_clear_flags(bio, BIO_FLAGS_READ_RETRY)
            received = read(size)
            if not received:
                self.crypto.BIO_set_flags(bio, BIO_FLAGS_READ_RETRY)
                return -1
            ctypes.memmove(data, received, len(received))
            return len(received)

        def on_control(_bio: int, command: int, _number: int, _pointer: int) -> int:
            return int(command == BIO_CTRL_FLUSH)

        self._kept = [*getattr(self, "_kept", []), BIO_WRITE(on_write), BIO_WRITE(on_read), BIO_CTRL(on_control)]
        self.crypto.BIO_meth_set_write(method, self._kept[-3])
        self.crypto.BIO_meth_set_read(method, self._kept[-2])
        self.crypto.BIO_meth_set_ctrl(method, self._kept[-1])
        bio: int = self.crypto.BIO_new(method)
        self.crypto.BIO_set_init(bio, 1)
        return bio

    def report(self, path: str) -> None:
        """Leave what each end's calls moved, for the test to compare."""
        told = [
            {
                "ssl": end.ssl,
                "write": base64.b64encode(b"".join(end.written)).decode(),
                "read": base64.b64encode(b"".join(end.received)).decode(),
            }
            for end in self.ends
        ]
        Path(path).write_text(json.dumps({"pid": os.getpid(), "ends": told}))


class End:
    """One SSL structure. `written` and `received` keep what each successful call moved."""

    def __init__(self, library: Library, context: int, *, server: bool) -> None:
        self.library = library
        self.lib = library.ssl
        self.ssl: int = self.lib.SSL_new(context)
        self.written: list[bytes] = []
        self.received: list[bytes] = []
        (self.lib.SSL_set_accept_state if server else self.lib.SSL_set_connect_state)(self.ssl)
        library.ends.append(self)

    def set_mode(self, mode: int) -> None:
        self.lib.SSL_ctrl(self.ssl, SSL_CTRL_MODE, mode, None)

    def use_bio(self, bio: int) -> None:
        self.lib.SSL_set_bio(self.ssl, bio, bio)

    def write(self, data: bytes, *, by: str = "SSL_write") -> int:
        """The bytes that one call took; 0 where it failed or would block."""
        if by == "SSL_write":
            count = max(0, self.lib.SSL_write(self.ssl, data, len(data)))
        else:
            moved = c_size_t()
            flags = (0,) if by == "SSL_write_ex2" else ()
            done = getattr(self.lib, by)(self.ssl, data, len(data), *flags, byref(moved))
            count = moved.value if done == 1 else 0
        if count:
            self.written.append(data[:count])
        return count

    def read(self, size: int, *, by: str = "SSL_read", keep: bool = True) -> bytes:
        """What one call gave; b"" where it failed or would block. keep: it is consumed, which SSL_peek does not."""
        buffer = ctypes.create_string_buffer(size)
        if by in ("SSL_read", "SSL_peek"):
            count = max(0, getattr(self.lib, by)(self.ssl, buffer, size))
        else:
            moved = c_size_t()
            done = getattr(self.lib, by)(self.ssl, buffer, size, byref(moved))
            count = moved.value if done == 1 else 0
        data = buffer.raw[:count]
        if count and keep:
            self.received.append(data)
        return data

    def read_exactly(self, size: int) -> bytes:
        """From as many calls as it takes; the bytes must be there."""
        data = b""
        while len(data) < size:
            part = self.read(size - len(data))
            assert part
            data += part
        return data


def join(one: End, other: End, room: int) -> None:
    """Let two ends of one process speak through buffers in memory."""
    first, second = c_void_p(), c_void_p()
    assert one.library.crypto.BIO_new_bio_pair(byref(first), room, byref(second), room) == 1
    assert first.value is not None and second.value is not None
    one.use_bio(first.value)
    other.use_bio(second.value)


def handshake(client: End, server: End) -> None:
    for _ in range(20):
        done = [end.lib.SSL_do_handshake(end.ssl) == 1 for end in (client, server)]
        if all(done):
            return
    raise AssertionError("no handshake")
