"""What the programs of bpf/secrets.bpf.c are told of a library: its log function, and the state of its handshakes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plainwire.layouts.packed_layout import pack_path

if TYPE_CHECKING:  # which brings the disassembler, that takes long to import
    from plainwire.layouts.keylog_function import KeylogFunction

# struct keylog_function_t of bpf/abi.h
_FUNCTION = struct.Struct("=6B2x4I")
_NO_ARGUMENT = 0xFF
_MAX_RANDOM_STEPS = 4


def pack_keylog_function(function: KeylogFunction) -> bytes:
    """The value of the map `keylog_functions`."""
    offsets = function.random.offsets
    return _FUNCTION.pack(
        function.label,
        function.secret,
        function.secret_length,
        _NO_ARGUMENT if function.random_length is None else function.random_length,
        function.random.argument,
        len(offsets),
        *(offset & 0xFFFFFFFF for offset in (*offsets, *(0,) * (_MAX_RANDOM_STEPS - len(offsets)))),
    )


def pack_handshake_layout(
    in_init: Sequence[int], server_finished_hash: Sequence[int], server_finished_key: Sequence[int]
) -> bytes:
    """The value of the map `handshake_layouts`; a path without steps is not known."""
    return b"".join(map(pack_path, (in_init, server_finished_hash, server_finished_key)))
