"""Follows values through the registers of one function: which of them are its arguments, or are reached from them.

A walk over the instructions in the order of the code, not an emulation: at a place that only a jump reaches, the
registers are those of the jump. Enough to see with which arguments a function calls another one, and what it reads
through them.
"""

from __future__ import annotations

from collections.abc import Iterator

from plainwire.layouts.register_flow_arm64 import Arm64Instructions
from plainwire.layouts.register_flow_x86_64 import X86Instructions
from plainwire.layouts.register_values import ArgumentPath, Call, Read, State

# The longest function that is walked.
_MAX_INSTRUCTIONS = 2000


_INSTRUCTIONS: dict[str, type[X86Instructions] | type[Arm64Instructions]] = {
    "x86_64": X86Instructions,
    "aarch64": Arm64Instructions,
}


def walk_function(machine: str, code: bytes, address: int) -> Iterator[Call | Read]:
    """What a function does with its arguments, from its first instruction at `address` to its end."""
    arguments = _INSTRUCTIONS[machine].ARGUMENTS
    state = State({register: ArgumentPath(number, (0,)) for number, register in enumerate(arguments)})
    yield from _walk(machine, code, address, state)


def walk_from(machine: str, code: bytes, address: int) -> Iterator[Call | Read]:
    """The calls that follow an instruction in the middle of a function, where no register's value is known."""
    yield from _walk(machine, code, address, State({}))


def _walk(machine: str, code: bytes, address: int, state: State) -> Iterator[Call | Read]:
    instructions = _INSTRUCTIONS[machine]()
    jumps: dict[int, State] = {}  # place that is jumped to -> the registers there
    reached = True  # False: only a jump gets here
    straight = True
    for count, instruction in enumerate(instructions.disassembler.disasm(code, address)):
        if count == _MAX_INSTRUCTIONS:
            return
        if not reached:
            if instruction.address in jumps:
                state = jumps[instruction.address]
                reached = True
            elif any(target > instruction.address for target in jumps):
                continue  # padding, or code behind a computed jump
            else:
                return
        kind, target = instructions.branch(instruction)
        if kind == "":
            yield from instructions.run(instruction, state)
            continue
        if kind in ("call", "jump"):
            known = {
                number: state.registers[register]
                for number, register in enumerate(instructions.ARGUMENTS)
                if register in state.registers
            }
            yield Call(instruction.address, target, known, straight)
        if kind == "call":
            for register in [register for register in state.registers if register not in instructions.PRESERVED]:
                state.set(register, None)
            continue
        if target is not None and instruction.address < target < address + len(code):
            jumps.setdefault(target, state.copy())
        straight = False
        reached = kind == "conditional"
