"""Numbers in events and the names that people know them by."""

from __future__ import annotations

# As SSL_get_version() of OpenSSL names them; numbers of <openssl/ssl3.h>, <openssl/tls1.h>, <openssl/dtls1.h>.
_TLS_VERSIONS = {
    0x0002: "SSLv2",
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
    0x0100: "DTLSv0.9",
    0xFEFF: "DTLSv1",
    0xFEFD: "DTLSv1.2",
}

# BIO_TYPE_* of <openssl/bio.h>, without BIO_TYPE_.
_BIO_TYPES = {
    0x0401: "MEM",
    0x0402: "FILE",
    0x0504: "FD",
    0x0505: "SOCKET",
    0x0406: "NULL",
    0x0207: "SSL",
    0x0208: "MD",
    0x0209: "BUFFER",
    0x020A: "CIPHER",
    0x020B: "BASE64",
    0x050C: "CONNECT",
    0x050D: "ACCEPT",
    0x0210: "NBIO_TEST",
    0x0211: "NULL_FILTER",
    0x0413: "BIO",
    0x0214: "LINEBUFFER",
    0x0515: "DGRAM",
    0x0216: "ASN1",
    0x0217: "COMP",
    0x0218: "DGRAM_SCTP",
    0x0419: "CORE_TO_PROV",
    0x051A: "DGRAM_PAIR",
    0x051B: "DGRAM_MEM",
}

# Names come from traced processes, which may think of ever new ones.
_MAX_CACHED = 4096


class NumberNames(dict[int, str | None]):
    """number -> name; None for 0, which is "not known"; a number without a name as hexadecimal."""

    def __init__(self, known: dict[int, str]) -> None:
        super().__init__(known)
        self[0] = None

    def __missing__(self, number: int) -> str:
        name = f"0x{number:04x}"
        if len(self) < _MAX_CACHED:
            self[number] = name
        return name


class Texts(dict[bytes, str]):
    """A fixed array of char -> the text before its first NUL. What is not UTF-8 becomes U+FFFD."""

    def __missing__(self, raw: bytes) -> str:
        text = raw.partition(b"\0")[0].decode("utf-8", "replace")
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[raw] = text
        return text


def tls_versions() -> NumberNames:
    """Version on the wire -> name."""
    return NumberNames(_TLS_VERSIONS)


def bio_types() -> NumberNames:
    """Type of a BIO -> name."""
    return NumberNames(_BIO_TYPES)
