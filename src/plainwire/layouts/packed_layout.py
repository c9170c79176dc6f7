"""A library's layout as the programs read it: `struct library_layout_t` of bpf/abi.h."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .layout import MAX_STEPS, Layout

# The fields of the structure, in its order. Each is a struct layout_path_t.
FIELDS = (
    "version", "rbio", "wbio", "bio_fd", "bio_type", "master_key", "master_key_length", "client_random", "server",
    "cipher_id", "early_secret", "handshake_secret", "handshake_traffic_hash", "client_app_traffic_secret",
    "server_app_traffic_secret", "exporter_master_secret",
)  # fmt: skip
_PATH = struct.Struct(f"=H{MAX_STEPS}H")


def pack_layout(layout: Layout) -> bytes:
    """The value of the map `library_layouts`: what all ways agree on; the rest is marked as not known."""
    return b"".join(pack_path(layout.paths.get(name, ())) for name in FIELDS)


def pack_path(path: Sequence[int]) -> bytes:
    """A struct layout_path_t; without steps it is not known."""
    return _PATH.pack(len(path), *path, *(0,) * (MAX_STEPS - len(path)))
