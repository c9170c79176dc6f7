"""The table of connections on a terminal: what fits into its width and height."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from plainwire.events import ConnectionState
from plainwire.outputs.clean import clean_name
from plainwire.outputs.words import counted

_GAP = 2
_NUMBERS = ("READ", "WRITTEN", "AGE")
# What a narrow terminal goes without, the first first; then names and addresses are cut, the longest first.
_DISPENSABLE = ("CIPHER", "AGE", "LOCAL", "TLS")
_CUT = ("PROCESS", "LOCAL", "REMOTE")
_SHORTEST = 8  # cells of one that is cut
# Lines that are not connections: the summary, the headings, how many more there are; and the cursor's.
_OTHER_LINES = 4


def connection_view(
    states: Sequence[ConnectionState],
    lost: int,
    *,
    listened_ns: int,
    width: int | None = None,
    height: int | None = None,
) -> Group:
    """A summary and a table. width, height: in cells and lines; None for as much as it takes.

    lost: events. listened_ns: how old the capture is: a connection that is older than it is at least that old.
    """
    shown = states if height is None else states[: max(height - _OTHER_LINES, 1)]
    columns = _fit(_columns(shown, listened_ns), width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for title in columns:
        table.add_column(title, justify="right" if title in _NUMBERS else "left", no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, cells))
    parts = [Text(_summary(states, lost), style="red" if lost else "dim", no_wrap=True, overflow="ellipsis")]
    if states:
        parts.append(table)  # type: ignore[arg-type]
    if len(shown) < len(states):
        parts.append(Text(f"and {len(states) - len(shown):,} more", style="dim"))
    return Group(*parts)


def _summary(states: Sequence[ConnectionState], lost: int) -> str:
    processes = counted(len({state.pid for state in states}), "process")
    text = f"{counted(len(states), 'connection')} of {processes}"
    return f"{text}; {counted(lost, 'event')} lost, so bytes are missing" if lost else text


def _columns(states: Sequence[ConnectionState], listened_ns: int) -> dict[str, list[str]]:
    return {
        "PROCESS": [f"{clean_name(state.comm)}[{state.pid}]" for state in states],
        "LOCAL": [_end(state, state.local_address, state.local_port) for state in states],
        "REMOTE": [_end(state, state.remote_address, state.remote_port) for state in states],
        "TLS": [(state.tls_version or "").removeprefix("TLSv") for state in states],
        "CIPHER": [state.cipher or "" for state in states],
        "READ": [_size(state.read_bytes) for state in states],
        "WRITTEN": [_size(state.written_bytes) for state in states],
        "AGE": [_age(state.age_ns, listened_ns) for state in states],
    }


def _end(state: ConnectionState, address: str | None, port: int | None) -> str:
    if address is None:
        return state.family or "?"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else decimal(count)


def _age(age_ns: int | None, listened_ns: int) -> str:
    seconds = (listened_ns if age_ns is None else age_ns) // 1_000_000_000
    minutes, hours = seconds // 60 % 60, seconds // 3600
    text = f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
    return f">{text}" if age_ns is None else text


def _fit(columns: dict[str, list[str]], width: int | None) -> dict[str, list[str]]:
    """The columns that `width` has room for, with their cells cut where it must be."""
    if width is None:
        return columns
    widths = {title: max(map(cell_len, (title, *cells))) + _GAP for title, cells in columns.items()}
    for title in _DISPENSABLE:
        if sum(widths.values()) - _GAP > width:
            del widths[title]
    while (excess := sum(widths.values()) - _GAP - width) > 0:
        longest = max((title for title in _CUT if title in widths), key=widths.__getitem__)
        if widths[longest] - _GAP <= _SHORTEST:
            break
        widths[longest] -= min(excess, widths[longest] - _GAP - _SHORTEST)
    return {title: [_cut(cell, widths[title] - _GAP) for cell in columns[title]] for title in widths}


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"
