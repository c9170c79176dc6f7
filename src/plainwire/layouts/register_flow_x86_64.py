"""What each x86-64 instruction does to the values in registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import capstone
from capstone import x86_const

from plainwire.layouts.register_values import ArgumentPath, Branch, Read, State, Value, add


class X86Instructions:
    """The effect of instructions on a State. Registers go by the names of their 64-bit forms."""

    # How functions get integer arguments, and which registers they leave alone (System V ABI, 3.2).
    ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
    PRESERVED = frozenset(("rbx", "rbp", "rsp", "r12", "r13", "r14", "r15"))

    def __init__(self) -> None:
        self.disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self.disassembler.detail = True

    def branch(self, instruction: Any) -> tuple[Branch, int | None]:
        """What kind of branch this is ("" for none), and its target where the instruction holds it."""
        if instruction.group(x86_const.X86_GRP_RET):
            return "return", None
        kind: Branch = ""
        if instruction.group(x86_const.X86_GRP_CALL):
            kind = "call"
        elif instruction.id == x86_const.X86_INS_JMP:
            kind = "jump"
        elif instruction.group(x86_const.X86_GRP_JUMP):
            kind = "conditional"
        if not kind:
            return "", None
        operand = instruction.operands[0]
        return kind, operand.imm if operand.type == x86_const.X86_OP_IMM else None

    def run(self, instruction: Any, state: State) -> Iterator[Read]:
        """Change the state as the instruction does; tell what is read through an argument."""
        operands = instruction.operands
        result: Value | None = None
        for operand in operands:
            if operand.type == x86_const.X86_OP_MEM and instruction.id != x86_const.X86_INS_LEA:
                read = self._read(instruction, operand, state)
                if read is not None:
                    yield read
        if len(operands) == 2 and instruction.id in _X86_MOVES:
            source, destination = operands[1], operands[0]
            if destination.type == x86_const.X86_OP_MEM:
                self._store(instruction, destination, source, state)
                return
            result = self._source(instruction, source, state)
        elif instruction.id == x86_const.X86_INS_LEA:
            result = self._address(instruction, operands[1], state)
        elif instruction.id in (x86_const.X86_INS_ADD, x86_const.X86_INS_SUB):
            result = self._sum(instruction, state)
        elif instruction.id == x86_const.X86_INS_XOR and operands[0].reg and operands[0].reg == operands[1].reg:
            result = 0
        for number in instruction.regs_access()[1]:
            state.set(_x86_register(instruction, number), None)
        if result is not None and operands[0].type == x86_const.X86_OP_REG and operands[0].size in (4, 8):
            state.set(_x86_register(instruction, operands[0].reg), result)

    def _source(self, instruction: Any, operand: Any, state: State) -> Value | None:
        if operand.type == x86_const.X86_OP_IMM:
            return int(operand.imm)
        if operand.type == x86_const.X86_OP_REG:
            value = state.registers.get(_x86_register(instruction, operand.reg))
            return value if operand.size == 8 or isinstance(value, int) else None
        if operand.size != 8 or operand.mem.index:
            return None
        base = _x86_register(instruction, operand.mem.base)
        pointer = state.registers.get(base)
        if isinstance(pointer, ArgumentPath):
            return pointer.loaded(operand.mem.disp)
        return state.stack.get((base, operand.mem.disp))

    def _store(self, instruction: Any, destination: Any, source: Any, state: State) -> None:
        base = _x86_register(instruction, destination.mem.base)
        if base not in ("rsp", "rbp") or destination.mem.index or base in state.registers:
            return
        value = None if destination.size != 8 else self._source(instruction, source, state)
        if value is None:
            state.stack.pop((base, destination.mem.disp), None)
        else:
            state.stack[base, destination.mem.disp] = value

    def _address(self, instruction: Any, operand: Any, state: State) -> Value | None:
        if operand.mem.index:
            return None
        if operand.mem.base == x86_const.X86_REG_RIP:
            return int(instruction.address + instruction.size + operand.mem.disp)
        return add(state.registers.get(_x86_register(instruction, operand.mem.base)), operand.mem.disp)

    def _sum(self, instruction: Any, state: State) -> Value | None:
        destination, source = instruction.operands[0], instruction.operands[1]
        if destination.type != x86_const.X86_OP_REG or source.type != x86_const.X86_OP_IMM or destination.size != 8:
            return None
        sign = 1 if instruction.id == x86_const.X86_INS_ADD else -1
        return add(state.registers.get(_x86_register(instruction, destination.reg)), sign * source.imm)

    def _read(self, instruction: Any, operand: Any, state: State) -> Read | None:
        if not operand.access & capstone.CS_AC_READ:
            return None
        memory = operand.mem
        for base in (memory.base, memory.index if memory.scale == 1 else 0):
            pointer = state.registers.get(_x86_register(instruction, base)) if base else None
            if isinstance(pointer, ArgumentPath):
                return Read(instruction.address, pointer.plus(memory.disp), operand.size)
        return None


_X86_MOVES = frozenset((x86_const.X86_INS_MOV, x86_const.X86_INS_MOVABS))
# Name of a part of a register -> name of the whole.
_X86_WHOLE = {
    part: f"r{letter}x" for letter in "abcd" for part in (f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h")
} | {
    part: f"r{name}" for name in ("si", "di", "bp", "sp") for part in (f"e{name}", name, f"{name}l")
} | {f"r{number}{size}": f"r{number}" for number in range(8, 16) for size in "dwb"}  # fmt: skip


def _x86_register(instruction: Any, number: int) -> str:
    name = instruction.reg_name(number) or ""
    return _X86_WHOLE.get(name, name)
