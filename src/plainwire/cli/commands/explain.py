"""`plainwire explain`: what of a process can be captured, and why not."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator

import click
import msgspec

from plainwire.capture.explain import Explanation, Library, explain
from plainwire.modules import all_modules
from plainwire.outputs.clean import clean_name, escape_json
from plainwire.outputs.style import Style, style_for

_MAX_CMDLINE = 500  # characters; some programs have 100 KB of arguments


@click.command()
@click.argument("pid", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(pid: int, as_json: bool) -> None:
    """Say which TLS libraries a process has and what would be attached, or why nothing can be."""
    explanation = explain(pid)
    if as_json:
        print(escape_json(msgspec.json.encode(explanation).decode()))
    else:
        print("\n".join(_lines(explanation, style_for(sys.stdout.fileno()))))


def _lines(explanation: Explanation, style: Style) -> Iterator[str]:
    yield f"{style.bold}{clean_name(explanation.comm)}[{explanation.pid}]{style.reset}{_who(explanation)}"
    if explanation.cmdline:
        cmdline = clean_name(shlex.join(explanation.cmdline))
        yield f"  {cmdline if len(cmdline) <= _MAX_CMDLINE else cmdline[:_MAX_CMDLINE] + '…'}"
    for library in explanation.libraries:
        yield ""
        yield from _library(library, style)
    for problem in explanation.unreadable:
        yield ""
        yield f"Not looked into: {clean_name(problem)}"
    yield ""
    if explanation.capturable:
        modules = {library.module for library in explanation.libraries if library.module}
        requested = sorted(name for name in modules if all_modules()[name].on_request)
        if modules.difference(requested):
            yield f"To capture it: plainwire capture --pid {explanation.pid}"
        if requested:
            yield f"To capture its commands: plainwire capture --pid {explanation.pid} --module {','.join(requested)}"
    else:
        yield f"{style.alarm}Nothing can be captured:{style.reset} {clean_name(explanation.reason or '')}."
        if explanation.children:
            numbers = ", ".join(map(str, explanation.children))
            yield f"Its children are processes of their own and may be the ones that use TLS: {numbers}."


def _who(explanation: Explanation) -> str:
    facts = [clean_name(explanation.exe)] if explanation.exe else []
    facts.append(f"user {explanation.uid}")
    if explanation.container:
        facts.append(f"container {clean_name(explanation.container)}")
    if explanation.own_pid is not None:
        facts.append(f"pid {explanation.own_pid} in its own pid namespace")
    return "  " + ", ".join(facts)


def _library(library: Library, style: Style) -> Iterator[str]:
    name = f"{library.implementation} {library.version or ''}".rstrip()
    deleted = " (deleted since)" if library.deleted else ""
    yield f"{style.bold}{clean_name(name)}{style.reset}  {clean_name(library.path)}{deleted}"
    if library.build_id:
        yield f"  build id {library.build_id}"
    if library.module is None:
        yield f"  {style.alarm}not captured:{style.reset} {clean_name(library.reason or '')}"
        return
    yield f"  captured by the module {library.module}, with probes on"
    width = max(22, *(len(function.name) for function in library.functions))
    for function in library.functions:
        probes = [f"{len(function.returns)} RETs" if probe == "returns" else probe for probe in function.probes]
        yield f"    {function.name:<{width}} {function.address:#10x}  {' and '.join(probes)}"
    for note in library.notes:
        yield f"  {clean_name(note)}"
    if library.absent:
        yield f"  not in this build: {', '.join(library.absent)}"
