"""What reading a connection's secrets needs of a build, besides its layout."""

from __future__ import annotations

from dataclasses import dataclass

from plainwire.layouts.getters import find_functions, returned_place
from plainwire.layouts.layout import Layout, Path
from plainwire.layouts.library_files import LibraryFiles

_NEEDED = ("version", "client_random", "master_key", "master_key_length")
# In every OpenSSL the server's Finished key, the hash up to the server's Finished and the one up to ServerHello stand
# in this order (struct ssl_st of ssl/ssl_local.h, arrays of EVP_MAX_MD_SIZE bytes). Each connection proves it anew: its
# secrets must follow from one another.
_ARRAY_SIZE = 64


@dataclass(frozen=True, slots=True)
class HandshakeLayout:
    """in_init: what SSL_in_init() returns. The others: of TLS 1.3; () where not known."""

    in_init: Path
    server_finished_hash: Path
    server_finished_key: Path


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
    hashed = layout.paths.get("handshake_traffic_hash")
    if hashed is None:
        return HandshakeLayout(in_init, (), ())
    *pointers, last = hashed
    return HandshakeLayout(in_init, (*pointers, last - _ARRAY_SIZE), (*pointers, last - 2 * _ARRAY_SIZE))
