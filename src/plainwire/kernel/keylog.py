"""What the programs of bpf/secrets.bpf.c are told of a library's log function."""

from __future__ import annotations

import struct

from plainwire.layouts.keylog_function import KeylogFunction

# struct keylog_function_t of bpf/abi.h
_LAYOUT = struct.Struct("=6B2x4I")
_NO_ARGUMENT = 0xFF
_MAX_RANDOM_STEPS = 4


def pack_keylog_function(function: KeylogFunction) -> bytes:
    """The value of the map `keylog_functions`."""
    offsets = function.random.offsets
    return _LAYOUT.pack(
        function.label,
        function.secret,
        function.secret_length,
        _NO_ARGUMENT if function.random_length is None else function.random_length,
        function.random.argument,
        len(offsets),
        *(offset & 0xFFFFFFFF for offset in (*offsets, *(0,) * (_MAX_RANDOM_STEPS - len(offsets)))),
    )
