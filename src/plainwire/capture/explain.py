"""Says what a capture of one process would attach to, or why there is nothing: `plainwire explain`, from Python.

Looks without touching: it loads no program into the kernel, and needs no right but that of looking at the process.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from plainwire.errors import InputError
from plainwire.events import SCHEMA
from plainwire.inspect import process
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.process import MappedFile, Process
from plainwire.inspect.shell_program import Shell, identify_shell, shell_version
from plainwire.inspect.tls_library import TlsLibrary, embedded, identify, version, version_library
from plainwire.layouts.gotls import WRITE_KEY_LOG, GoTls
from plainwire.layouts.placements import Placements, find_placements
from plainwire.layouts.shell_prompt import find_prompt
from plainwire.modules import all_modules

Probe = Literal["entry", "return", "body", "returns", "call", "line"]


class Function(msgspec.Struct, frozen=True):
    """A function of a library that gets probes: its address as linked, and where that is in the file, in bytes.

    Of a Go program these are the instruction behind the stack check ("body"); `returns` are the addresses of RETs. Of a
    shell it is the one instruction that calls the function to read commands ("call"), and the next one ("line").
    """

    name: str
    address: int
    file_offset: int
    probes: tuple[Probe, ...]
    returns: tuple[int, ...] = ()


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A file that holds a TLS implementation, or a shell, and that the process maps.

    path: as the process sees it. module: what captures it; None when nothing does, and `reason` tells why.
    functions: what gets probes. absent: functions that the module would use too and that this build does not define.
    notes: what else was found out about the file, in words.
    """

    path: str
    deleted: bool
    implementation: str
    version: str | None
    build_id: str | None
    module: str | None
    reason: str | None = None
    functions: tuple[Function, ...] = ()
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True, tag="explanation", tag_field="kind"):
    """Why a process can be captured, or not.

    own_pid: its number in its own pid namespace, where that is another one. capturable: some library has a module.
    reason: why there is nothing to attach to. unreadable: mapped files that could not be looked into, and why.
    """

    schema: int = SCHEMA
    pid: int
    own_pid: int | None
    comm: str
    exe: str | None
    cmdline: tuple[str, ...] | None
    uid: int
    container: str | None
    capturable: bool
    reason: str | None
    libraries: tuple[Library, ...]
    children: tuple[int, ...]
    unreadable: tuple[str, ...]


def explain(pid: int) -> Explanation:
    """Looks into every file that a process maps, its program among them.

    Raises ProcessGoneError, or PermissionMissingError for another user's process.
    """
    who = process.process(pid)
    mapped = process.mapped_files(who.pid)
    libraries, unreadable = _Search(who.pid, mapped).run()
    capturable = any(library.module for library in libraries)
    return Explanation(
        pid=who.pid,
        own_pid=who.namespace_pids[-1] if who.namespace_pids[-1] != who.pid else None,
        comm=who.comm,
        exe=who.exe,
        cmdline=who.cmdline,
        uid=who.uid,
        container=who.container,
        capturable=capturable,
        reason=None if capturable else _why_nothing(who, mapped, libraries),
        libraries=tuple(sorted(libraries, key=lambda library: library.module is None)),
        children=() if who.is_kernel_thread else process.children(who.pid),
        unreadable=tuple(unreadable),
    )


def _why_nothing(who: Process, mapped: list[MappedFile], libraries: list[Library]) -> str:
    if who.is_kernel_thread:
        return "it is a thread of the kernel, which runs no program"
    if not mapped:
        return "it has ended, and waits for its parent to take note (a zombie)"
    if libraries:
        return "; ".join(dict.fromkeys(library.reason for library in libraries if library.reason))
    if who.is_32bit:
        return f"it is a 32-bit program: only 64-bit {platform.machine()} can be captured"
    return (
        "it maps no TLS library, and none is linked into its program: it may not use TLS, leave it to another process, "
        "or load a library later, to which a capture attaches as soon as it does"
    )


class _Search:
    """The search for TLS implementations in the files of one process."""

    def __init__(self, pid: int, mapped: list[MappedFile]) -> None:
        self._pid = pid
        self._mapped = mapped
        self._by_soname: dict[str, MappedFile] = {}

    def run(self) -> tuple[list[Library], list[str]]:
        found: list[tuple[MappedFile, TlsLibrary]] = []
        shells: list[tuple[MappedFile, Shell]] = []
        unreadable: list[str] = []
        for file in self._mapped:
            try:
                with self._open(file) as elf:
                    if elf.soname:
                        self._by_soname[elf.soname] = file
                    library = identify(elf)
                    found += [(file, part) for part in ((library,) if library else embedded(elf))]
                    shell = identify_shell(elf)
                    shells += [(file, shell)] if shell else []
            except process.ProcessGoneError:
                raise
            except InputError as error:
                if "not an ELF file" not in str(error):  # fonts and archives are mapped as executable here and there
                    unreadable.append(str(error))
        described = [self._describe(file, library) for file, library in found]
        return [*described, *(self._describe_shell(file, shell) for file, shell in shells)], unreadable

    @contextmanager
    def _open(self, file: MappedFile) -> Iterator[ElfFile]:
        descriptor = process.open_mapped(self._pid, file)
        try:
            with ElfFile(descriptor, name=_readable(file.path)) as elf:
                yield elf
        finally:
            os.close(descriptor)

    def _describe(self, file: MappedFile, library: TlsLibrary) -> Library:
        module = all_modules()[library.module] if library.module else None
        reason = library.reason
        found = Placements(())
        with self._open(file) as elf:
            if elf.bits != 64 or elf.machine != platform.machine():
                module = None
                reason = f"it is {elf.bits}-bit {elf.machine} code: only 64-bit {platform.machine()} can be captured"
            if module:
                try:
                    found = find_placements(module, elf)
                    reason = (
                        f"it defines none of the functions that can be captured ({', '.join(sorted(found.absent))})"
                    )
                except InputError as error:
                    reason = str(error)
            if not found.placements:
                module = None
            return Library(
                path=_readable(file.path),
                deleted=file.deleted,
                implementation=library.implementation,
                version=self._version(elf, library.implementation),
                build_id=elf.build_id,
                module=module.name if module else None,
                reason=None if module else reason,
                functions=_functions(found),
                absent=found.absent if module else (),
                notes=_notes(found.go) if found.go else (),
            )

    def _describe_shell(self, file: MappedFile, shell: Shell) -> Library:
        functions: tuple[Function, ...] = ()
        reason = None
        with self._open(file) as elf:
            try:
                call = find_prompt(elf, shell).call
                functions = (Function(shell.reads_by, call, elf.file_offset(call), ("call", "line")),)
            except InputError as error:
                reason = str(error)
            return Library(
                path=_readable(file.path),
                deleted=file.deleted,
                implementation=shell.name,
                version=shell_version(elf, shell),
                build_id=elf.build_id,
                module=None if reason else shell.name,
                reason=reason,
                functions=functions,
                notes=() if reason else ("a shell: commands entered in it are captured on request",),
            )

    def _version(self, elf: ElfFile, implementation: str) -> str | None:
        """From the file itself, or from the library beside it, as libcrypto is to libssl."""
        found = version(elf, implementation)
        beside = self._by_soname.get(version_library(elf, implementation) or "")
        if found is None and beside is not None:
            with self._open(beside) as other:
                found = version(other, implementation)
        return found


def _functions(found: Placements) -> tuple[Function, ...]:
    """The functions that get probes, in the order of the module."""
    functions = []
    for name in dict.fromkeys(one.function for one in found.placements):
        placed = [one for one in found.placements if one.function == name]
        returns = tuple(one.address for one in placed if found.go and one.address in found.go.returns.get(name, ()))
        first = next((one for one in placed if one.address not in returns), placed[0])
        probes: tuple[Probe, ...]
        if found.go:
            probes = (*(("body",) if first.address not in returns else ()), *(("returns",) if returns else ()))
        else:
            probes = ("entry", *(("return",) if any(one.at_return for one in placed) else ()))
        functions.append(Function(name, first.address, first.offset, probes, returns))
    return tuple(functions)


def _notes(go: GoTls) -> tuple[str, ...]:
    where = "registers" if go.abi == "register" else "the stack"
    keys = ("its keys come from its key log function",) if WRITE_KEY_LOG in go.bodies else ()
    return (f"Go passes arguments in {where} here", *keys, *go.problems)


def _readable(path: str) -> str:
    """A path as text: bytes that are no UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
