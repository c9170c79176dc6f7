"""plainwire: what programs send and receive over TLS, live. See docs/python.md."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from plainwire.errors import PlainwireError

if TYPE_CHECKING:
    from plainwire.capture.api import Capture
    from plainwire.capture.options import CaptureOptions
    from plainwire.events import (
        AnyEvent,
        CloseEvent,
        CommandEvent,
        ConnectEvent,
        DataEvent,
        LossEvent,
        StatsEvent,
        TlsEvent,
    )

__version__ = "0.1.0"

__all__ = [
    "AnyEvent",
    "Capture",
    "CaptureOptions",
    "CloseEvent",
    "CommandEvent",
    "ConnectEvent",
    "DataEvent",
    "LossEvent",
    "PlainwireError",
    "StatsEvent",
    "TlsEvent",
]

_HOMES = {"Capture": "plainwire.capture.api", "CaptureOptions": "plainwire.capture.options"}


def __getattr__(name: str) -> Any:
    """Names are loaded when they are asked for: Capture needs libbpf, which a machine that only reads recordings may
    lack, and `plainwire --help` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'plainwire' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "plainwire.events")), name)
