"""plainwire: what programs send and receive over TLS, live. See docs/python.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plainwire.errors import PlainwireError
from plainwire.events import AnyEvent, CloseEvent, ConnectEvent, DataEvent, LossEvent, StatsEvent

if TYPE_CHECKING:
    from plainwire.capture.api import Capture
    from plainwire.capture.options import CaptureOptions

__all__ = [
    "AnyEvent",
    "Capture",
    "CaptureOptions",
    "CloseEvent",
    "ConnectEvent",
    "DataEvent",
    "LossEvent",
    "PlainwireError",
    "StatsEvent",
]


def __getattr__(name: str) -> Any:
    """Capture needs libbpf, which a machine that only reads recordings may lack: it is loaded when it is asked for."""
    if name == "Capture":
        from plainwire.capture.api import Capture  # noqa: PLC0415

        return Capture
    if name == "CaptureOptions":
        from plainwire.capture.options import CaptureOptions  # noqa: PLC0415

        return CaptureOptions
    raise AttributeError(f"module 'plainwire' has no attribute {name!r}")
