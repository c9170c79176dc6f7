"""What reading a connection's secrets needs of a build, besides its layout."""

from __future__ import annotations

from dataclasses import dataclass

from plainwire.layouts.getters import find_functions, returned_place
from plainwire.layouts.layout import Layout, Path
from plainwire.layouts.library_files import LibraryFiles

_NEEDED = ("version", "client_random", "master_key", "master_key_length")
# In every OpenSSL the hash up to the server's Finished stands right before the one up to ServerHello (struct ssl_st of
# ssl/ssl_local.h, arrays of EVP_MAX_MD_SIZE bytes). Each connection proves it anew: its secrets must follow from it.
_HASH_DISTANCE = 64


@dataclass(frozen=True, slots=True)
class HandshakeLayout:
    """in_init: what SSL_in_init() returns. server_finished_hash: of TLS 1.3; () where not known."""

    in_init: Path
    server_finished_hash: Path


def handshake_layout(files: LibraryFiles, layout: Layout) -> HandshakeLayout | str:
    """The paths; or, in words, why secrets can't be read from this build's structures."""
    missing = [name for name in _NEEDED if name not in layout.paths]
    if missing:
        return f"where {', '.join(missing)} stand in its structures is not known"
    in_init = None
    for file, address in find_functions(files.files, ("SSL_in_init",)).values():
        in_init = returned_place(file, address)
    if in_init is None:
        return "when its handshakes are complete is not known"
    hashed = layout.paths.get("handshake_traffic_hash", ())
    return HandshakeLayout(in_init, (*hashed[:-1], hashed[-1] - _HASH_DISTANCE) if hashed else ())
