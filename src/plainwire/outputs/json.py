"""One JSON object per line: the classes of plainwire.events, as docs/json.md documents them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pybase64

from plainwire.events import AnyEvent, ConnectionState, DataEvent, PacketEvent
from plainwire.outputs.clean import escape_json, without_surrogates

_LARGE = 1024  # bytes of payload from which pybase64 (SIMD) gains more than the event's copy costs


class JsonFormat:
    """Events as lines of JSON, in the order of the classes' fields."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def encode(self, events: Sequence[AnyEvent | ConnectionState]) -> bytes:
        """The lines of `events`, each ended by \\n."""
        prepared = [
            _with_base64(event) if isinstance(event, DataEvent | PacketEvent) and len(event.data) >= _LARGE else event
            for event in events
        ]
        try:
            lines = self._encoder.encode_lines(prepared)
        except UnicodeEncodeError:  # a process or file with a name that is no UTF-8
            lines = self._encoder.encode_lines([_encodable(event) for event in prepared])
        if lines.isascii() and b"\x7f" not in lines:
            return lines
        return escape_json(lines.decode()).encode()


def _with_base64(event: DataEvent | PacketEvent) -> DataEvent | PacketEvent:
    return msgspec.structs.replace(event, data=msgspec.Raw(b'"%b"' % pybase64.b64encode(event.data)))


def _encodable(event: AnyEvent | ConnectionState) -> AnyEvent | ConnectionState:
    values = ((name, getattr(event, name)) for name in event.__struct_fields__)
    return msgspec.structs.replace(event, **{name: _encodable_value(value) for name, value in values})


def _encodable_value(value: Any) -> Any:
    if isinstance(value, str):
        return without_surrogates(value)
    return [without_surrogates(item) for item in value] if isinstance(value, list) else value
