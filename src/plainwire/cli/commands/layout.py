"""`plainwire layout`: where a TLS library keeps what, and how plainwire knows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from plainwire.cli.go_layout import go_layout_lines
from plainwire.errors import InputError
from plainwire.layouts.go_program import GoProgram, go_program_at, go_programs_of
from plainwire.layouts.layout import Finding, Layout
from plainwire.layouts.learn import SECONDS, LearnOptions, learn_path, learn_process


@click.command()
@click.argument("target", metavar="PATH|PID")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a library.")
@click.option("--no-cache", is_flag=True, help="Learn anew, and don't keep what was learned.")
@click.option("--no-run", is_flag=True, help="Call none of the library's functions: read its code only.")
@click.option("--allow-writable", is_flag=True, help="Also run code of files that others than their owner may write.")
@click.option(
    "--time-limit", type=click.FloatRange(0, min_open=True), default=SECONDS, metavar="S", help="For running."
)
def command(target: str, as_json: bool, no_cache: bool, no_run: bool, allow_writable: bool, time_limit: float) -> None:
    """Show where the SSL structure of a TLS library keeps each value, or where a Go program is probed.

    For a library's or a program's file, or for each library that a process has mapped. A value is used by a capture
    only if all the ways that found it agree.
    """
    options = LearnOptions(use_cache=not no_cache, run=not no_run, allow_writable=allow_writable, seconds=time_limit)
    is_process = target.isdecimal() and not Path(target).exists()
    found = _of_process(int(target), options) if is_process else _of_file(Path(target), options)
    for layout in found:
        if isinstance(layout, GoProgram):
            click.echo(msgspec.json.encode(layout) if as_json else "\n".join(go_layout_lines(layout)))
        elif as_json:
            click.echo(msgspec.json.encode(_as_json(layout)))
        else:
            _show(layout)


def _of_file(path: Path, options: LearnOptions) -> Iterable[Layout | GoProgram]:
    yield go_program_at(path) or learn_path(path, options)


def _of_process(pid: int, options: LearnOptions) -> Iterable[Layout | GoProgram]:
    programs = go_programs_of(pid)
    yield from programs
    try:
        yield from learn_process(pid, options)
    except InputError:
        if not programs:
            raise


def _as_json(layout: Layout) -> dict[str, object]:
    return {
        "file": layout.file,
        "build_id": layout.build_id,
        "machine": layout.machine,
        "implementation": layout.implementation,
        "version": layout.version,
        "values": {
            name: {
                "path": finding.path,
                "agree": finding.agree,
                "ways": list(finding.by_way),
                **({} if finding.agree else {"answers": finding.by_way}),
            }
            for name, finding in layout.values.items()
        },
        "missing": layout.missing,
        "notes": layout.notes,
    }


def _show(layout: Layout) -> None:
    from rich.console import Console  # noqa: PLC0415 - takes longer to import than most libraries take to learn
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    version = f"{layout.implementation} {layout.version or '(version not known)'}"
    console.print(Text(f"{layout.file}: {version}, {layout.machine}, build id {layout.build_id or 'none'}"))
    table = Table("value", "where", "found by", box=None, pad_edge=False, header_style="bold")
    for name, finding in layout.values.items():
        table.add_row(name, Text(_where(finding)), ", ".join(finding.by_way))
    console.print(table)
    if layout.missing:
        console.print(Text(f"not known: {', '.join(layout.missing)}"))
    for note in layout.notes:
        console.print(Text(note))


def _where(finding: Finding) -> str:
    if finding.path is not None:
        return _written(finding.path)
    return "the ways disagree: " + ", ".join(f"{_written(path)} ({way})" for way, path in finding.by_way.items())


def _written(path: tuple[int, ...]) -> str:
    """As in C, with the offsets in brackets: ssl[0x918][0x50]."""
    return "ssl" + "".join(f"[{offset:#x}]" for offset in path)
