r"""Text of a traced process, made fit for a terminal.

What could steer a terminal or mislead a reader is shown as an escape: `\x1b` for a byte (a control character, or one
that is no UTF-8), `\u202e` for a character beyond ASCII (C1 controls; Unicode's format, bidirectional and line
controls).
"""

from __future__ import annotations

import re
from functools import lru_cache

from plainwire.outputs.style import PLAIN, Style

MARK = "━━"
"""Begins every line of our own; a payload line that begins so is escaped, so that a payload can't forge a header."""

# Unicode categories Cc, Cf, Cs, Zl and Zp without \n and \t; tests/outputs/test_clean.py compares with unicodedata.
_UNSAFE_BMP = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\\ud800-\\udfff\ufeff\ufff9-\ufffb"
)
_UNSAFE_ASTRAL = (
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_UNSAFE_IN_NAME = re.compile(f"[\\t\\n{_UNSAFE_BMP}{_UNSAFE_ASTRAL}]")
# Of the characters beyond the BMP each is looked at by itself: their ranges make this search four times as slow.
_LOOKED_AT_IN_TEXT = re.compile(f"([{_UNSAFE_BMP}\U00010000-\U0010ffff])")
_SAFE_ASTRAL = re.compile(f"[^{_UNSAFE_ASTRAL}\\x00-\uffff]")
_ESCAPES_KEPT = 4096
_SURROGATES = re.compile("[\\ud800-\\udfff]")


def _escape(character: str) -> str:
    number = ord(character)
    if character == "\r":
        return "\\r"
    if number < 0x80:
        return f"\\x{number:02x}"
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8, as PEP 383 decodes it
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def is_visible(text: str) -> bool:
    """Whether `text` can be shown as it is. False also for some that could, as a quick answer."""
    return text.replace("\n", "").replace("\t", "").isprintable() and MARK[0] not in text


def clean_text(text: str, style: Style = PLAIN) -> str:
    """A payload, decoded with `surrogateescape`, without anything but \\n and \\t that is not visible."""
    if is_visible(text):
        return text
    escapes = _escapes(style)
    pieces = _LOOKED_AT_IN_TEXT.split(text)
    pieces[1::2] = map(escapes.__getitem__, pieces[1::2])
    text = "".join(pieces).replace(style.reset + style.escape, "")  # of escapes side by side
    if MARK[0] in text:
        text = f"\n{text}".replace(f"\n{MARK[0]}", f"\n{escapes[MARK[0]]}").removeprefix("\n")
    return text


class _Escapes(dict[str, str]):
    """A character -> how it is shown. Kept, since a hostile payload may hold thousands."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        self._style = style

    def __missing__(self, character: str) -> str:
        safe = _SAFE_ASTRAL.match(character)
        shown = character if safe else self._style.escape + _escape(character) + self._style.reset
        if len(self) < _ESCAPES_KEPT:
            self[character] = shown
        return shown


_escapes = lru_cache(maxsize=None)(_Escapes)


def clean_name(name: str) -> str:
    """The name of a process, thread or file, on one line."""
    return name if name.isprintable() else _UNSAFE_IN_NAME.sub(lambda character: _escape(character[0]), name)


def without_surrogates(name: str) -> str:
    """A name that UTF-8 can carry: bytes that were no UTF-8 become U+FFFD."""
    return _SURROGATES.sub("\ufffd", name)


def escape_json(line: str) -> str:
    """JSON with what a terminal must not get written as escapes, which every JSON reader turns back."""
    return _UNSAFE_IN_NAME.sub(_json_escape, line)


def _json_escape(match: re.Match[str]) -> str:
    if match[0] in "\t\n":  # between objects; inside strings JSON has escaped them already
        return match[0]
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
