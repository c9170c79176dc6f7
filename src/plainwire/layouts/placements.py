"""Where in a file a module's programs are attached, and what its maps must know of the file."""

from __future__ import annotations

import struct
from collections.abc import Set
from dataclasses import dataclass

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.shell_program import identify_shell
from plainwire.layouts.gotls import GoTls, read_go_tls
from plainwire.layouts.shell_prompt import find_prompt
from plainwire.modules import GoHook, Module

_MAX_GO_SOCKET_ITABS = 4  # bpf/abi.h, like struct go_layout_t
_NO_OFFSET = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Placement:
    """A program and the instruction that it stands on: at `offset` in the file, or at the return of the function there.

    address: of that instruction, as linked.
    """

    function: str
    program: str
    address: int
    offset: int
    at_return: bool = False


@dataclass(frozen=True, slots=True)
class Placements:
    """placements: none where the file has nothing for the module. absent: functions of the module that it lacks.

    layouts: map -> value for this file; the key is its attach cookie. go: how a Go program was understood.
    """

    placements: tuple[Placement, ...]
    absent: tuple[str, ...] = ()
    layouts: tuple[tuple[str, bytes], ...] = ()
    go: GoTls | None = None


def find_placements(module: Module, elf: ElfFile, *, data: bool = True, keys: bool = True) -> Placements:
    """What of a module is to be attached in a file. data, keys: what it is wanted for.

    Raises InputError where the file can't be read or its functions can't be captured; the message says why."""
    if module.go_hooks:
        return _in_go_program(module, elf, {"data"} if not keys else {"keys"} if not data else {"data", "keys"})
    if not data:
        return Placements(())
    if module.prompt_hooks:
        return _in_shell(module, elf)
    symbols = elf.symbols([hook.function for hook in module.hooks])
    absent = tuple(hook.function for hook in module.hooks if hook.function not in symbols)
    if not module.required & symbols.keys():
        return Placements((), absent)
    found = []
    for hook in module.hooks:
        if hook.function in symbols:
            address = symbols[hook.function].address
            offset = elf.file_offset(address)
            found.append(Placement(hook.function, hook.entry, address, offset))
            if hook.on_return is not None:
                found.append(Placement(hook.function, hook.on_return, address, offset, at_return=True))
    return Placements(tuple(found), absent)


def _in_shell(module: Module, elf: ElfFile) -> Placements:
    shell = identify_shell(elf)
    if shell is None or shell.name not in module.implementations:
        return Placements(())
    prompt = find_prompt(elf, shell)
    addresses = {"call": prompt.call, "line": prompt.line}
    found = tuple(
        Placement(shell.reads_by, hook.program, addresses[hook.at], elf.file_offset(addresses[hook.at]))
        for hook in module.prompt_hooks
    )
    text_base = found[0].address - found[0].offset
    # struct shell_layout_t of bpf/abi/shells.h
    layout = struct.pack("=4Q", text_base, prompt.exit_status, prompt.current_prompt, prompt.first_prompt)
    return Placements(found, layouts=(("shell_layouts", layout),))


def _in_go_program(module: Module, elf: ElfFile, wanted: Set[str]) -> Placements:
    go = read_go_tls(elf)
    found, absent = [], []
    for hook in module.go_hooks:
        if hook.gives not in wanted:
            continue
        program = hook.register if go.abi == "register" else hook.stack
        addresses = _addresses(go, hook)
        if not addresses:
            absent.append(hook.function)
        if program is not None:
            found += [Placement(hook.function, program, address, elf.file_offset(address)) for address in addresses]
    if any(one.offset >> 32 for one in found):
        raise InputError(f"{elf.name}: its code lies beyond 4 GiB of the file, where no probe can be told from another")
    if not found:
        return Placements((), tuple(absent), go=go)
    layout = _go_layout(go, found[0].address - found[0].offset)
    return Placements(tuple(found), tuple(absent), (("go_layouts", layout),), go)


def _addresses(go: GoTls, hook: GoHook) -> tuple[int, ...]:
    if hook.at == "returns":
        return go.returns.get(hook.function, ())
    return (go.bodies[hook.function],) if hook.function in go.bodies else ()


def _go_layout(go: GoTls, text_base: int) -> bytes:
    """struct go_layout_t of bpf/abi.h"""
    itabs = [*go.socket_itabs[:_MAX_GO_SOCKET_ITABS], *[0] * _MAX_GO_SOCKET_ITABS][:_MAX_GO_SOCKET_ITABS]
    version = _NO_OFFSET if go.version_offset is None else go.version_offset
    form = f"=Q{_MAX_GO_SOCKET_ITABS}Q{len(go.key_labels)}QII"
    return struct.pack(form, text_base, *itabs, *go.key_labels, version, go.parked_reads)
