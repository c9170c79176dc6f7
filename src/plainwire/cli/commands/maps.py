"""`plainwire maps`: the eBPF maps of every module, as the built objects declare them."""

from __future__ import annotations

import sys

import click
import msgspec

from plainwire.capture.options import DEFAULT_BUFFER_SIZE
from plainwire.kernel.map_memory import possible_cpus
from plainwire.kernel.map_table import MapRow, map_table
from plainwire.kernel.object_files import PROCESS_BUFFER_SIZE
from plainwire.outputs.style import style_for

_BUFFERS = {"data": DEFAULT_BUFFER_SIZE, "processes": PROCESS_BUFFER_SIZE, "packets": DEFAULT_BUFFER_SIZE}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def command(as_json: bool) -> None:
    """Show every eBPF map of every module, what it is for, and how much memory it takes on this machine.

    Read from the eBPF objects that a capture loads; nothing is loaded, and no privileges are needed.
    """
    cpus = possible_cpus()
    rows = map_table(cpus)
    total = sum(row.bytes or 0 for row in rows) + sum(_BUFFERS.values())
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(_as_object(rows, cpus, total)) + b"\n")
    else:
        _print(rows, cpus, total)


def _as_object(rows: list[MapRow], cpus: int, total: int) -> dict[str, object]:
    buffers = [
        {"name": name, "bytes": size, "maps": [f"{row.module}.{row.name}" for row in rows if row.buffer == name]}
        for name, size in _BUFFERS.items()
    ]
    return {"cpus": cpus, "bytes": total, "maps": rows, "buffers": buffers}


def _print(rows: list[MapRow], cpus: int, total: int) -> None:
    style = style_for(sys.stdout.fileno())
    titles = ("map", "type", "key → value", "entries", "memory", "purpose")
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    module = ""
    print(f"{style.dim}  {_line(titles, widths)}{style.reset}")
    for row, line in zip(rows, cells, strict=True):
        if row.module != module:
            module = row.module
            print(f"{style.bold}{module}{style.reset}")
        print(f"  {_line(line, widths)}")
    print(
        f"\nevents: kept in a buffer that is shared: {_size(_BUFFERS['data'])} for the data of all modules"
        f" (--buffer-size), as much for packets (-i), {_size(_BUFFERS['processes'])} for processes.\n"
        "  Declared as perf arrays, these maps become ring buffers where the kernel has them (Linux 5.8).\n"
        f"In all {_size(total)} on {cpus} CPUs, when every module is loaded."
    )


def _cells(row: MapRow) -> tuple[str, ...]:
    if row.buffer:
        memory = "events"
    elif row.shared_with:
        memory = f"in {row.shared_with}"
    else:
        memory = "?" if row.bytes is None else _size(row.bytes)
    return row.name, row.type, f"{row.key} → {row.value}", f"{row.max_entries:,}", memory, row.purpose


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """The fourth and the fifth column are numbers."""
    return "  ".join(
        cell.rjust(width) if index in (3, 4) else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _size(size: int) -> str:
    if size < 1 << 10:
        return f"{size} B"
    return f"{size / (1 << 10):.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
