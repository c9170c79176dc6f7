"""A payload as text."""

from __future__ import annotations

from plainwire.outputs.binary import describe, has_known_format, is_binary
from plainwire.outputs.clean import clean_text, is_visible
from plainwire.outputs.style import PLAIN, Style

_NOT_PLAIN = bytes(i for i in range(128) if not (0x20 <= i < 0x7F or i in b"\t\n"))
_BLANK_LINE = b"\r\n\r\n"
_MOST_PIECES = 8


def show_payload(data: bytes, style: Style = PLAIN) -> bytes:
    """`data` as UTF-8 that is safe on a terminal, ended by \\n; nothing for nothing.

    Plain ASCII passes as it is, CR before LF dropped. What is not text is told short, but a head that is text (of
    HTTP/1, of a part of a form) is shown, up to the blank line before what is not. Bytes stay with their event: a
    character that its end cuts is shown as bytes in this one and the next.
    """
    if data.isascii():
        shown = data.translate(None, _NOT_PLAIN)  # one pass at 2 GB/s; what falls out are the CRs alone, or
        dropped = len(data) - len(shown)  # we look closer
        plain = not dropped or dropped == data.count(b"\r\n")
    else:
        shown = data.replace(b"\r\n", b"\n")
        plain = _is_visible_utf8(shown)
    if not plain:
        return _show_pieces(data, style)
    return shown if shown.endswith(b"\n") or not data else shown + b"\n"


def _is_visible_utf8(data: bytes) -> bool:
    try:
        return is_visible(data.decode())
    except UnicodeDecodeError:
        return False


def _show_pieces(data: bytes, style: Style) -> bytes:
    pieces = []
    for _ in range(_MOST_PIECES):  # a bound, since each round copies all the rest
        head, blank_line, rest = data.partition(_BLANK_LINE)
        if not rest or has_known_format(data) or is_binary(head):
            break
        pieces.append(_show_text(head + blank_line, style))
        data = rest
    pieces.append(
        f"{style.dim}{describe(data)}{style.reset}\n".encode() if is_binary(data) else _show_text(data, style)
    )
    return b"".join(pieces)


def _show_text(data: bytes, style: Style) -> bytes:
    text = clean_text(data.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape"), style)
    return (text if text.endswith("\n") else text + "\n").encode()
