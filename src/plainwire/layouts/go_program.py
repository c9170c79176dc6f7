"""Go programs by their file, or by a process that runs one: what `plainwire layout` shows of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from plainwire.errors import InputError
from plainwire.inspect import process
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_code import Abi
from plainwire.layouts.gotls import WRITE_KEY_LOG, is_go_program, read_go_tls


class GoFunction(msgspec.Struct, frozen=True):
    """Addresses as linked. body: where its work begins, behind the stack check. returns: its RETs, where they count."""

    body: int
    returns: tuple[int, ...] = ()


class GoProgram(msgspec.Struct, frozen=True, kw_only=True):
    """How a Go program is captured.

    go_version: as `go version FILE` prints it. abi: where arguments are passed. function_table: the Go version that
    first wrote its format. version_offset: of the TLS version in tls.Conn, in bytes. key_log: whether the function that
    gives the keys is there. socket_itabs: the type words of a net.Conn that holds a TCP or Unix socket.
    """

    file: str
    build_id: str | None
    machine: str
    implementation: str = "Go crypto/tls"
    go_version: str | None
    abi: Abi
    function_table: str
    functions: dict[str, GoFunction]
    version_offset: int | None
    key_log: bool
    socket_itabs: tuple[int, ...]
    notes: tuple[str, ...]


def go_program_at(path: Path) -> GoProgram | None:
    """None for a file that Go's linker did not make. Raises InputError for a Go program that can't be captured."""
    with ElfFile(path) as elf:
        return _read(elf) if is_go_program(elf) else None


def go_programs_of(pid: int) -> list[GoProgram]:
    """Those among the files that a process maps; what can't be read or captured is left out."""
    found = []
    for mapped in process.mapped_files(pid):
        with suppress(InputError):
            descriptor = process.open_mapped(pid, mapped)
            try:
                with ElfFile(descriptor, name=mapped.path) as elf:
                    if is_go_program(elf):
                        found.append(_read(elf))
            finally:
                os.close(descriptor)
    return found


def _read(elf: ElfFile) -> GoProgram:
    tls = read_go_tls(elf)
    return GoProgram(
        file=elf.name,
        build_id=elf.build_id,
        machine=elf.machine,
        go_version=tls.build.version.removeprefix("go") if tls.build else None,
        abi=tls.abi,
        function_table=".".join(map(str, tls.format)),
        functions={name: GoFunction(body, tls.returns.get(name, ())) for name, body in tls.bodies.items()},
        version_offset=tls.version_offset,
        key_log=WRITE_KEY_LOG in tls.bodies,
        socket_itabs=tls.socket_itabs,
        notes=tls.problems,
    )
