"""How `plainwire layout` shows a Go program."""

from __future__ import annotations

from collections.abc import Iterator

from plainwire.layouts.go_program import GoProgram
from plainwire.outputs.clean import clean_name


def go_layout_lines(program: GoProgram) -> Iterator[str]:
    """Text for people, without a build of its own for any Go version: all of it was read from the file."""
    version = f"Go {program.go_version or '(version not known)'}"
    build_id = program.build_id or "none"
    yield clean_name(f"{program.file}: {version}, crypto/tls, {program.machine}, build id {build_id}")
    where = "in registers" if program.abi == "register" else "on the stack"
    yield f"arguments are passed {where}; function table as of Go {program.function_table}"
    width = max(map(len, program.functions))
    for name, function in program.functions.items():
        yield f"{name:<{width}}  body at {function.body:#x}"
        if function.returns:
            yield f"{'':{width}}  RETs at {', '.join(map(hex, function.returns))}"
    if program.version_offset is not None:
        yield f"TLS version: tls.Conn[{program.version_offset:#x}]"
    if program.socket_itabs:
        yield f"net.Conn of a socket: type words {', '.join(map(hex, program.socket_itabs))}"
    yield f"keys: {'by the key log function' if program.key_log else 'none, the key log function is not there'}"
    for note in program.notes:
        yield clean_name(note)
