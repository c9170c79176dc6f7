"""Payloads that are not text: recognised, and shown short."""

from __future__ import annotations

from plainwire.outputs.words import counted

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, section 3.4
# Types of frames, by where they may stand. RFC 9113, section 6; ALTSVC: RFC 7838; ORIGIN: RFC 8336; PRIORITY_UPDATE:
# RFC 9218.
_ON_A_STREAM = {0: "DATA", 1: "HEADERS", 2: "PRIORITY", 3: "RST_STREAM", 5: "PUSH_PROMISE", 9: "CONTINUATION"}
_ON_THE_CONNECTION = {4: "SETTINGS", 6: "PING", 7: "GOAWAY", 0xC: "ORIGIN", 0x10: "PRIORITY_UPDATE"}
_ON_EITHER = {8: "WINDOW_UPDATE", 0xA: "ALTSVC"}
_STREAM_FRAMES = _ON_A_STREAM | _ON_EITHER
_CONNECTION_FRAMES = _ON_THE_CONNECTION | _ON_EITHER
_FRAMES_TOLD = 6
# First bytes of formats that often travel as bodies, each from its own specification.
_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"PK\x03\x04": "ZIP",
    b"%PDF-": "PDF",
    b"wOF2": "WOFF2",
    b"\0asm": "WebAssembly",
    b"\x7fELF": "ELF",
}
_KNOWN_STARTS = (HTTP2_PREFACE, *_MAGIC)
_CONTROLS = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])  # all of ASCII's but \t, \n and \r
_SAMPLE = 1024  # bytes; most binary payloads show what they are within these
_BINARY_PERCENT = 30  # a line protocol with length bytes (PostgreSQL, WebSocket) stays below, compressed data is at 55
_SHOWN = 32  # bytes


def has_known_format(data: bytes) -> bool:
    """Whether `data` begins as a binary format that we can name."""
    return data.startswith(_KNOWN_STARTS)


def is_binary(data: bytes) -> bool:
    """Whether `data` is better told in a word than shown: a known format, or too many bytes that are not text."""
    if has_known_format(data):
        return True
    return _mostly_unprintable(data[:_SAMPLE]) or (len(data) > _SAMPLE and _mostly_unprintable(data))


def _mostly_unprintable(data: bytes) -> bool:
    controls = len(data) - len(data.translate(None, _CONTROLS))
    text = data.decode("utf-8", "surrogateescape")
    invalid = len(data) - len(text.encode("utf-8", "ignore"))
    return 100 * (controls + invalid) > _BINARY_PERCENT * len(data)


def describe(data: bytes) -> str:
    """`<binary, 4,096 bytes: 1f 8b … >`, with the format where it is known."""
    kind = _http2(data) or next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "")
    what = f"binary, {kind}" if kind else "binary"
    size = counted(len(data), "byte")
    if len(data) <= _SHOWN:
        return f"<{what}, {size}: {data.hex(' ')}>"
    return f"<{what}, {size}: {data[:_SHOWN].hex(' ')} … > (--hex shows all)"


def _http2(data: bytes) -> str:
    """The types of the HTTP/2 frames that `data` consists of, "" if it does not. The last one may go on beyond it."""
    names = []
    position = 0
    if data.startswith(HTTP2_PREFACE):
        names.append("preface")
        position = len(HTTP2_PREFACE)
    while len(data) - position >= 9 and len(names) <= _FRAMES_TOLD:
        # A frame's header: length (24 bits), type, flags, stream (31 bits).
        stream = int.from_bytes(data[position + 5 : position + 9])
        name = (_STREAM_FRAMES if stream else _CONNECTION_FRAMES).get(data[position + 3])
        if name is None or stream >> 31:
            return ""
        names.append(name)
        position += 9 + int.from_bytes(data[position : position + 3])
    if len(names) > _FRAMES_TOLD:
        names[_FRAMES_TOLD:] = ["…"]
    elif position < len(data) or len(names) + (position == len(data)) < 2:
        return ""  # one header whose frame is not whole is too little to tell HTTP/2 from chance
    return f"HTTP/2 {', '.join(names)}"
