"""Types of command-line values that several commands share."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Size(click.ParamType[int]):
    """A number of bytes, with an optional K, M or G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+)([KMG]?)i?B?", str(value).upper())
        if not match:
            self.fail(f"{value!r} is no size: write bytes, or 64K, 16M, 1G", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class BufferSize(Size):
    """A size of a ring buffer: the kernel takes powers of two, from a page on."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        size = super().convert(value, param, ctx)
        if size < 4096 or size & (size - 1) or size > 2 << 30:
            self.fail(f"{value!r} must be a power of two from 4K to 2G", param, ctx)
        return size


class Names(click.ParamType[list[str]]):
    """Words between commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        return [word.strip() for word in str(value).split(",") if word.strip()]
