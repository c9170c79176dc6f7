"""Where a shell has a command line typed, in any build of it: found in its machine code.

The function that lets a user edit a line serves other prompts too, at which secrets are typed: bash's `read -e`, zsh's
`select` and `vared`. So the one call that reads commands is looked for, by what is done with its result (bash) or
passed to it (zsh). Behind that call the line is seen also by a capture that began while the shell waited in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.shell_program import Shell
from plainwire.layouts.call_sites import CallSite, find_calls

# Bytes of code behind a call in which its result is put away, and before it in which arguments are laid out.
_BEHIND, _BEFORE = 32, 96
_RESULT = {"x86_64": ("rax", "eax"), "aarch64": ("x0", "w0")}
# The first and the fifth argument of zleentry: what it is to do, and at which prompt.
_COMMAND = {"x86_64": "edi", "aarch64": "w0"}
_CONTEXT = {"x86_64": "r8d", "aarch64": "w4"}
_ZLE_CMD_READ = 1  # Src/zsh.h
_CALLS = ("call", "bl", "blr")
_JUMPS = 1  # CS_GRP_JUMP


@dataclass(frozen=True, slots=True)
class ShellPrompt:
    """Addresses as linked.

    call: the instruction that has a line typed. line: the one behind it, where the result register points to the line.
    exit_status: of the variable that holds the last command's status, in its first four bytes. current_prompt,
    first_prompt: bash's variables that are equal when the line is a command's first; 0 where the call's arguments tell.
    """

    call: int
    line: int
    exit_status: int
    current_prompt: int = 0
    first_prompt: int = 0


def find_prompt(elf: ElfFile, shell: Shell) -> ShellPrompt:
    """Raises InputError that says why the shell's lines can't be captured."""
    if elf.bits != 64 or elf.machine not in _RESULT:
        raise InputError(f"{elf.name}: {shell.name} for {elf.machine}; only x86_64 and aarch64 can be captured")
    sites = find_calls(elf, shell.reads_by)
    if not sites:
        raise InputError(f"{elf.name}: this {shell.name} never calls {shell.reads_by}: it can't edit lines")
    prompts = {"current_prompt": "current_prompt_string", "first_prompt": "ps1_prompt"} if shell.name == "bash" else {}
    variables = {field: _variable(elf, name) for field, name in prompts.items()}
    if shell.name == "bash":
        line = _variable(elf, "current_readline_line")
        found = [site for site in sites if _keeps_line(elf, site, line)]
    else:
        found = [site for site in sites if _reads_command(elf, site)]
    if len(found) != 1:
        raise InputError(
            f"{elf.name}: {len(found)} of the {len(sites)} calls of {shell.reads_by} look like the one that reads "
            "commands; none is captured, since secrets may be typed at the others"
        )
    return ShellPrompt(found[0].call, found[0].following, _variable(elf, shell.exit_status), **variables)


def _variable(elf: ElfFile, name: str) -> int:
    symbol = elf.exported_variable(name)
    if symbol is None:
        raise InputError(f"{elf.name}: its variable {name} has no name any more")
    return symbol.address


def _keeps_line(elf: ElfFile, site: CallSite, variable: int) -> bool:
    """Whether the call's result goes straight into bash's variable for the line; `read -e` puts its elsewhere.

    On arm64 the variable is reached through a register whose value is not followed.
    """
    result = _RESULT[elf.machine]
    for instruction in _disassemble(elf, site.following, _BEHIND):
        operands = instruction.operands
        if instruction.mnemonic == "str" and instruction.op_str.startswith("x0, ["):
            return bool(instruction.reg_name(operands[1].mem.base) != "sp")
        if instruction.mnemonic == "mov" and instruction.op_str.endswith("], rax"):
            memory = operands[0].mem
            end = instruction.address + instruction.size
            if instruction.reg_name(memory.base) == "rip" and end + memory.disp == variable:
                return True
        _, written = instruction.regs_access()
        if instruction.group(_JUMPS) or any(instruction.reg_name(number) in result for number in written):
            return False
    return False


def _reads_command(elf: ElfFile, site: CallSite) -> bool:
    """Whether zleentry is told to read a line, at a prompt that only the running shell knows: not that of `select`."""
    arguments: dict[str, int | None] = {}
    for instruction in _leading_to(elf, site):
        _, written = instruction.regs_access()
        for number in written:
            arguments[_as_word(instruction.reg_name(number))] = _constant(instruction)
        if instruction.mnemonic in _CALLS:
            arguments.clear()
    machine = elf.machine
    return arguments.get(_COMMAND[machine]) == _ZLE_CMD_READ and arguments.get(_CONTEXT[machine]) is None


def _as_word(register: str) -> str:
    """The name of a register's lower half."""
    return {"rdi": "edi", "r8": "r8d", "x0": "w0", "x4": "w4"}.get(register, register)


def _constant(instruction: Any) -> int | None:
    """What an instruction writes, if it is a constant."""
    operands = instruction.operands
    if instruction.mnemonic in ("mov", "movz") and len(operands) == 2:
        return operands[1].imm if operands[1].type == 2 else None  # CS_OP_IMM
    return 0 if instruction.mnemonic == "xor" and operands[0].reg == operands[1].reg else None


def _leading_to(elf: ElfFile, site: CallSite) -> list[Any]:
    """The instructions before a call. On x86-64, of the places where decoding may begin, the first that leads there."""
    for before in range(_BEFORE, 0, -1):
        instructions = list(_disassemble(elf, site.call - before, before))
        if instructions and instructions[-1].address + instructions[-1].size == site.call:
            return instructions
    return []


def _disassemble(elf: ElfFile, address: int, size: int) -> Any:
    import capstone  # noqa: PLC0415 - takes longer to import than a capture to start

    if elf.machine == "x86_64":
        disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    else:
        disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    disassembler.detail = True
    return disassembler.disasm(elf.read(address, size), address)
