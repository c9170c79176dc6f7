"""TLS handshakes of a library with itself, in memory: for each, both ends' SSL structures and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .calls import CalibrationError, Library

TLS1_2, TLS1_3 = 0x0303, 0x0304

# <openssl/obj_mac.h>, <openssl/ssl.h>
_NID_P256 = 415
_SET_ECDH_AUTO, _SET_MIN_PROTO_VERSION, _SET_MAX_PROTO_VERSION = 94, 123, 124
# A descriptor that nothing has: only its number is looked for, in the BIO made for it.
DESCRIPTOR = 0x5A17_C0DE
_MAX_ROUNDS = 10
_SECRET_SIZES = (32, 48)  # a hash of TLS 1.3's cipher suites, or TLS 1.2's master secret

REQUIRED = (
    "EC_KEY_new_by_curve_name", "EC_KEY_generate_key", "EVP_PKEY_new", "EVP_PKEY_set1_EC_KEY", "EVP_sha256",
    "X509_new", "X509_set_version", "X509_getm_notBefore", "X509_getm_notAfter", "X509_gmtime_adj", "X509_set_pubkey",
    "X509_get_serialNumber", "ASN1_INTEGER_set", "X509_sign", "TLS_method", "SSL_CTX_new",
    "SSL_CTX_set_keylog_callback", "SSL_CTX_use_certificate", "SSL_CTX_use_PrivateKey", "SSL_new", "SSL_set_bio",
    "SSL_set_connect_state", "SSL_set_accept_state", "SSL_do_handshake", "SSL_version", "SSL_get_rbio", "SSL_get_wbio",
    "SSL_get_session", "SSL_get_current_cipher", "BIO_new", "BIO_s_mem", "BIO_new_socket", "BIO_method_type",
)  # fmt: skip
OPTIONAL = (
    "OPENSSL_init_ssl", "BIO_up_ref", "SSL_CTX_ctrl", "SSL_CTX_set_min_proto_version", "SSL_CTX_set_max_proto_version",
    "SSL_CIPHER_get_id", "SSL_CIPHER_get_protocol_id", "SSL_get_client_random", "SSL_is_server",
    "SSL_SESSION_get_master_key",
)  # fmt: skip


@dataclass(slots=True)
class End:
    """One end of a connection: its SSL structure's address, and what the library says about it."""

    ssl: int
    version: int
    rbio: int
    wbio: int
    session: int
    cipher: int
    cipher_id: int  # as on the wire
    is_server: bool
    secrets: dict[str, bytes]  # by keylog label, and "client_random"


@dataclass(slots=True)
class Handshakes:
    """The ends of a TLS 1.2 and a TLS 1.3 connection, clients first, and a BIO for a socket with its type."""

    ends: list[End] = field(default_factory=list)
    socket_bio: int = 0
    socket_bio_type: int = 0


def handshakes(library: Library) -> Handshakes:
    """Raises CalibrationError when the library can't do them; one of the two TLS versions is enough."""
    missing = [name for name in REQUIRED if name not in library]
    if missing:
        raise CalibrationError(f"the library lacks {', '.join(missing[:3])}{' and more' if missing[3:] else ''}")
    if "OPENSSL_init_ssl" in library:
        library.call("OPENSSL_init_ssl", 0, 0)
    made = Handshakes()
    key = _new(library, "EVP_PKEY_new")
    curve_key = _new(library, "EC_KEY_new_by_curve_name", _NID_P256)
    _succeed(library, "EC_KEY_generate_key", curve_key)
    _succeed(library, "EVP_PKEY_set1_EC_KEY", key, curve_key)
    certificate = _certificate(library, key)
    problems = []
    for version in (TLS1_2, TLS1_3):
        try:
            made.ends += _handshake(library, version, key, certificate)
        except _HandshakeError as error:
            problems.append(str(error))
    if not made.ends:
        raise CalibrationError("; ".join(problems))
    made.socket_bio = _new(library, "BIO_new_socket", DESCRIPTOR, 0)
    made.socket_bio_type = library.call("BIO_method_type", made.socket_bio) & 0xFFFFFFFF
    return made


class _HandshakeError(Exception):
    """This version's handshake does not come about; another's may."""


def _new(library: Library, name: str, *arguments: int | str) -> int:
    made = library.call(name, *arguments)
    if not made:
        raise CalibrationError(f"{name} failed")
    return made


def _succeed(library: Library, name: str, *arguments: int | str) -> None:
    if library.call(name, *arguments) & 0xFFFFFFFF != 1:
        raise CalibrationError(f"{name} failed")


def _certificate(library: Library, key: int) -> int:
    """A certificate that `key` has signed itself; nobody verifies it."""
    certificate = _new(library, "X509_new")
    library.call("X509_set_version", certificate, 2)
    library.call("ASN1_INTEGER_set", library.call("X509_get_serialNumber", certificate), 1)
    library.call("X509_gmtime_adj", _new(library, "X509_getm_notBefore", certificate), -86400)
    library.call("X509_gmtime_adj", _new(library, "X509_getm_notAfter", certificate), 86400)
    _succeed(library, "X509_set_pubkey", certificate, key)
    if not library.call("X509_sign", certificate, key, library.call("EVP_sha256")) & 0xFFFFFFFF:
        raise CalibrationError("X509_sign failed")
    return certificate


def _handshake(library: Library, version: int, key: int, certificate: int) -> list[End]:
    logged = len(library.keylog())
    contexts = [_context(library, version) for _ in range(2)]
    _succeed(library, "SSL_CTX_use_certificate", contexts[1], certificate)
    _succeed(library, "SSL_CTX_use_PrivateKey", contexts[1], key)
    client, server = (_new(library, "SSL_new", context) for context in contexts)
    library.call("SSL_set_connect_state", client)
    library.call("SSL_set_accept_state", server)
    # A BIO for each direction, each read by one end and written by the other, so that rbio and wbio differ.
    to_server, to_client = (_new(library, "BIO_new", library.call("BIO_s_mem")) for _ in range(2))
    library.call("SSL_set_bio", client, to_client, to_server)
    library.call("SSL_set_bio", server, to_server, to_client)
    for _ in range(_MAX_ROUNDS):
        done = [library.call("SSL_do_handshake", ssl) & 0xFFFFFFFF == 1 for ssl in (client, server)]
        if all(done):
            break
    else:
        raise _HandshakeError(f"no handshake of TLS version {version:#x}")
    secrets = _secrets(library.keylog()[logged:])
    return [
        _end(library, client, version, secrets, is_server=False),
        _end(library, server, version, secrets, is_server=True),
    ]


def _context(library: Library, version: int) -> int:
    context = _new(library, "SSL_CTX_new", library.call("TLS_method"))
    library.call("SSL_CTX_set_keylog_callback", context, "KEYLOG")
    if "SSL_CTX_set_max_proto_version" in library:  # BoringSSL: a function; OpenSSL: a macro
        library.call("SSL_CTX_set_min_proto_version", context, version)
        library.call("SSL_CTX_set_max_proto_version", context, version)
    else:
        library.call("SSL_CTX_ctrl", context, _SET_MIN_PROTO_VERSION, version, 0)
        library.call("SSL_CTX_ctrl", context, _SET_MAX_PROTO_VERSION, version, 0)
    return context


def _secrets(lines: list[str]) -> dict[str, bytes]:
    """By label, from lines `LABEL CLIENT_RANDOM SECRET` (draft-ietf-tls-keylogfile)."""
    secrets: dict[str, bytes] = {}
    for line in lines:
        label, random, secret = (*line.split(" "), "", "")[:3]
        try:
            secrets[label] = bytes.fromhex(secret)
            secrets["client_random"] = bytes.fromhex(random)
        except ValueError:
            raise CalibrationError("the keylog callback got a line that is none") from None
        if len(secrets["client_random"]) != 32 or len(secrets[label]) not in _SECRET_SIZES:
            raise CalibrationError("the keylog callback got a line with values of a wrong size")
    if not secrets:
        raise _HandshakeError("the keylog callback was not called")
    return secrets


def _end(library: Library, ssl: int, version: int, secrets: dict[str, bytes], *, is_server: bool) -> End:
    cipher = _new(library, "SSL_get_current_cipher", ssl)
    getter = "SSL_CIPHER_get_protocol_id" if "SSL_CIPHER_get_protocol_id" in library else "SSL_CIPHER_get_id"
    if library.call("SSL_version", ssl) & 0xFFFFFFFF != version:
        raise CalibrationError("SSL_version does not tell the version that was agreed on")
    return End(
        ssl=ssl,
        version=version,
        rbio=_new(library, "SSL_get_rbio", ssl),
        wbio=_new(library, "SSL_get_wbio", ssl),
        session=_new(library, "SSL_get_session", ssl),
        cipher=cipher,
        cipher_id=library.call(getter, cipher) & 0xFFFF,
        is_server=is_server,
        secrets=secrets,
    )
