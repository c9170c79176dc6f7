"""What each arm64 instruction does to the values in registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import capstone
from capstone import arm64_const

from plainwire.layouts.register_values import ArgumentPath, Branch, Read, State, Value, add


class Arm64Instructions:
    """The effect of instructions on a State. Registers go by the names of their 64-bit forms."""

    # How functions get integer arguments, and which registers they leave alone (AAPCS64, 6.1.1).
    ARGUMENTS = tuple(f"x{number}" for number in range(8))
    PRESERVED = frozenset((*(f"x{number}" for number in range(19, 30)), "sp"))

    def __init__(self) -> None:
        self.disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        self.disassembler.detail = True

    def branch(self, instruction: Any) -> tuple[Branch, int | None]:
        """What kind of branch this is ("" for none), and its target where the instruction holds it."""
        mnemonic = instruction.mnemonic
        if mnemonic in ("ret", "retaa", "retab"):
            return "return", None
        if mnemonic == "bl":
            return "call", instruction.operands[0].imm
        if mnemonic.startswith("blr"):
            return "call", None
        if mnemonic == "b":
            return "jump", instruction.operands[0].imm
        if mnemonic == "br":
            return "jump", None
        if mnemonic.startswith("b.") or mnemonic in ("cbz", "cbnz", "tbz", "tbnz"):
            return "conditional", instruction.operands[-1].imm
        return "", None

    def run(self, instruction: Any, state: State) -> Iterator[Read]:
        """Change the state as the instruction does; tell what is read through an argument."""
        operands = instruction.operands
        mnemonic = instruction.mnemonic
        memory = next((operand.mem for operand in operands if operand.type == arm64_const.ARM64_OP_MEM), None)
        results: dict[str, Value | None] = {}
        if memory is not None:
            yield from self._memory(instruction, memory, state, results)
        elif mnemonic == "adrp" or (mnemonic in ("mov", "movz") and operands[1].type == arm64_const.ARM64_OP_IMM):
            results[self._name(instruction, operands[0].reg)] = operands[1].imm << operands[1].shift.value
        elif mnemonic == "mov" and operands[1].type == arm64_const.ARM64_OP_REG:
            results[self._name(instruction, operands[0].reg)] = state.registers.get(
                self._name(instruction, operands[1].reg)
            )
        elif mnemonic in ("add", "sub") and operands[2].type == arm64_const.ARM64_OP_IMM:
            distance = operands[2].imm << operands[2].shift.value
            source = state.registers.get(self._name(instruction, operands[1].reg))
            results[self._name(instruction, operands[0].reg)] = add(
                source, distance if mnemonic == "add" else -distance
            )
        for number in instruction.regs_access()[1]:
            state.set(self._name(instruction, number), None)
        for register, value in results.items():
            state.set(register, value)

    def _memory(self, instruction: Any, memory: Any, state: State, results: dict[str, Value | None]) -> Iterator[Read]:
        base = self._name(instruction, memory.base)
        pointer = state.registers.get(base)
        registers = [operand for operand in instruction.operands if operand.type == arm64_const.ARM64_OP_REG]
        step = next((operand.imm for operand in instruction.operands if operand.type == arm64_const.ARM64_OP_IMM), 0)
        distance = memory.disp
        size = self._size(instruction, registers)
        loads = instruction.mnemonic.startswith("ld")
        for number, operand in enumerate(registers):
            name = self._name(instruction, operand.reg)
            place = distance + number * size
            if not loads:
                if base in ("sp", "x29") and base not in state.registers and not memory.index:
                    value = state.registers.get(name)
                    if value is None:
                        state.stack.pop((base, place), None)
                    else:
                        state.stack[base, place] = value
            elif isinstance(pointer, ArgumentPath):
                yield Read(instruction.address, pointer.plus(place), size)
                if size == 8 and not memory.index and name.startswith("x"):
                    results[name] = pointer.loaded(place)
            elif base in ("sp", "x29") and not memory.index and size == 8:
                results[name] = state.stack.get((base, place))
        if instruction.writeback and isinstance(pointer, ArgumentPath):
            results[base] = pointer.plus(step or distance)

    def _size(self, instruction: Any, registers: list[Any]) -> int:
        """Bytes that go to or come from each register."""
        mnemonic = instruction.mnemonic
        if mnemonic.endswith("b"):
            return 1
        if mnemonic.endswith("h"):
            return 2
        letter = instruction.reg_name(registers[0].reg)[0] if registers else "x"
        return {"w": 4, "x": 8, "q": 16, "d": 8, "s": 4}.get(letter, 8)

    def _name(self, instruction: Any, number: int) -> str:
        name = instruction.reg_name(number) or ""
        return {"fp": "x29", "lr": "x30"}.get(name, f"x{name[1:]}" if name.startswith("w") and name != "wsp" else name)
