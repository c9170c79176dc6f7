"""Reads the machine code of Go functions, x86-64 and arm64: where the prologue ends, RET instructions, field offsets.

A Go function begins with a check that its stack suffices. If not, the runtime moves the stack and starts the function
anew, so a probe on its first instruction would see one call twice; a probe after the check sees it once, with the
arguments still where the caller put them. On return the runtime's moves forbid return probes, which patch the return
address: probes stand on the RET instructions instead. Conventions: cmd/compile/abi-internal.md of Go.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import capstone
from capstone import arm64_const, x86_const

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.go_pclntab import GoFunction

Abi = Literal["register", "stack"]

_MAX_FUNCTION_SIZE = 1 << 20
_BEGINNING_SIZE = 160  # bytes that hold the stack check and what is done with the arguments next
_STACK_GUARD = 0x10  # runtime.g.stackguard0
_SPILL_BUFFER = 16  # above the stack pointer at entry: where the callee may keep the second argument word
_PADDING = {"x86_64": b"\xcc", "aarch64": b"\x00\x00\x00\x00"}
_DISASSEMBLERS = {
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
}
# TLS versions on the wire, that code compares tls.Conn.vers with.
_TLS_1_0 = 0x0301


@dataclass(frozen=True, slots=True)
class Prologue:
    """body: the address after the stack check. abi: how arguments are passed, where the check tells it (x86-64)."""

    body: int
    abi: Abi | None


class GoCode:
    """The instructions of one function. Raises InputError where they can't be read: a probe in the middle of an
    instruction would break the program, so nothing is skipped and nothing guessed."""

    def __init__(self, elf: ElfFile, function: GoFunction) -> None:
        self.function = function
        self._machine = elf.machine
        self._name = elf.name
        if elf.machine not in _DISASSEMBLERS:
            raise InputError(f"{elf.name}: Go programs for {elf.machine} are not supported")
        if function.size > _MAX_FUNCTION_SIZE:
            raise self._error("is implausibly large")
        padding = _PADDING[elf.machine]
        self._code = elf.read(function.address, function.size)
        while self._code.endswith(padding):
            self._code = self._code.removesuffix(padding)

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self._name}: the function {self.function.name} {problem}")

    @cached_property
    def _instructions(self) -> list[tuple[int, int, str, str]]:
        """Address, size, mnemonic and operands of each."""
        disassembler = capstone.Cs(*_DISASSEMBLERS[self._machine])
        found = list(disassembler.disasm_lite(self._code, self.function.address))
        if not found or found[-1][0] + found[-1][1] != self.function.address + len(self._code):
            raise self._error("holds instructions that can't be read")
        return found

    def _detailed(self, start: int, end: int) -> list[Any]:
        """The instructions from one to another address of an instruction, with their operands taken apart: slow."""
        disassembler = capstone.Cs(*_DISASSEMBLERS[self._machine])
        disassembler.detail = True
        base = self.function.address
        return list(disassembler.disasm(self._code[start - base : end - base], start))

    @cached_property
    def _beginning(self) -> list[Any]:
        return self._detailed(self.function.address, self.function.address + _BEGINNING_SIZE)

    @cached_property
    def returns(self) -> tuple[int, ...]:
        """The addresses of the RET instructions."""
        return tuple(address for address, _, mnemonic, _ in self._instructions if mnemonic == "ret")

    @cached_property
    def prologue(self) -> Prologue:
        """What comes before the function's own work. Raises InputError when it is none that Go's compiler makes."""
        for comparison, jump in itertools.pairwise(self._beginning):
            if self._machine == "x86_64" and comparison.mnemonic == "cmp" and jump.mnemonic == "jbe":
                base = self._guard_base(comparison)
                if base is not None:
                    abi: Abi = "register" if base == x86_const.X86_REG_R14 else "stack"
                    return Prologue(jump.address + jump.size, abi)
            if self._machine == "aarch64" and comparison.mnemonic == "cmp" and jump.mnemonic == "b.ls":
                return Prologue(jump.address + jump.size, None)
        raise self._error("does not begin with Go's stack check")

    def _guard_base(self, comparison: Any) -> int | None:
        for operand in comparison.operands:
            if operand.type == x86_const.X86_OP_MEM and operand.mem.disp == _STACK_GUARD:
                return int(operand.mem.base)
        return None

    def keeps_buffer_above_frame(self) -> bool:
        """Whether the function, before its first branch or call, copies its second argument word to the place that
        the register ABI reserves for it in the caller's frame. There it stands until the function returns."""
        depth = 0  # bytes that the stack has grown since entry
        body = self.prologue.body
        for one in self._beginning:
            if one.address < body:
                continue
            if one.group(capstone.CS_GRP_JUMP) or one.group(capstone.CS_GRP_CALL) or one.group(capstone.CS_GRP_RET):
                return False
            read = self._depth_change(one)
            if read is None:
                return False
            depth += read
            if self._stores_second_argument(one, depth + _SPILL_BUFFER):
                return True
        return False

    def _depth_change(self, one: Any) -> int | None:
        """How many bytes an instruction of the prologue moves the stack pointer down; None when that is unclear."""
        if self._machine == "x86_64":
            if one.mnemonic == "push":
                return 8
            writes = x86_const.X86_REG_RSP in one.regs_access()[1]
            if not writes:
                return 0
            is_immediate = len(one.operands) == 2 and one.operands[1].type == x86_const.X86_OP_IMM
            return int(one.operands[1].imm) if one.mnemonic in ("sub", "add") and is_immediate else None
        if arm64_const.ARM64_REG_SP not in one.regs_access()[1]:
            return 0
        for operand in one.operands:
            if one.writeback and operand.type == arm64_const.ARM64_OP_MEM:
                return -int(operand.mem.disp)
        return None

    def _stores_second_argument(self, one: Any, displacement: int) -> bool:
        if not one.mnemonic.startswith("mov" if self._machine == "x86_64" else "st"):
            return False
        if self._machine == "x86_64":
            stack, argument, memory = x86_const.X86_REG_RSP, x86_const.X86_REG_RBX, x86_const.X86_OP_MEM
            values, places = one.operands[1:], one.operands[:1]
        else:
            stack, argument, memory = arm64_const.ARM64_REG_SP, arm64_const.ARM64_REG_X1, arm64_const.ARM64_OP_MEM
            values, places = one.operands[:1], one.operands[1:2]
        return any(value.reg == argument for value in values) and any(
            place.type == memory and place.mem.base == stack and place.mem.disp == displacement for place in places
        )

    def version_offset(self) -> int | None:
        """The offset in a structure of a 16-bit field that is compared with the number of TLS 1.0: `vers` in
        tls.Conn, when this is (*Conn).Write. None when there is no such comparison, or when two disagree."""
        found = set()
        wanted = f"#{_TLS_1_0:#x}" if self._machine == "aarch64" else f"{_TLS_1_0:#x}"
        previous = self._instructions[0]
        for address, size, mnemonic, operands in self._instructions:
            if mnemonic == "cmp" and operands.endswith(wanted):
                offset = self._compared_field(self._detailed(previous[0], address + size))
                if offset is not None:
                    found.add(offset)
            previous = (address, size, mnemonic, operands)
        return found.pop() if len(found) == 1 else None

    def _compared_field(self, pair: list[Any]) -> int | None:
        """The offset of the 16-bit field that a comparison compares: on arm64 the instruction before has loaded it."""
        first, comparison = pair[0], pair[-1]
        left = comparison.operands[0]
        if self._machine == "x86_64":
            return int(left.mem.disp) if left.type == x86_const.X86_OP_MEM and left.size == 2 else None
        if first.mnemonic == "ldrh" and first.operands[0].reg == left.reg:
            return int(first.operands[1].mem.disp)
        return None
