"""What a small function loads from its arguments: bounded symbolic execution of compiled code.

A getter such as `SSL_get_session` is a load or two from its first argument, perhaps behind a check of the object's
type. Every path through the code is followed with values that are either known relative to an argument or not known at
all, so that the structure's offsets can be read from the machine code, whatever the compiler made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import capstone

from . import loads_arm64, loads_x86_64
from .values import State, Value

MAX_INSTRUCTIONS = 1500  # in all paths of one function
MAX_PATHS = 64


class Code(Protocol):
    """The part of an ELF file that this needs."""

    @property
    def machine(self) -> str: ...

    def read(self, address: int, size: int) -> bytes: ...


@dataclass(slots=True)
class Trace:
    """What the paths through one function do."""

    returns: list[Value] = field(default_factory=list)  # values returned that come from the first argument
    copies: list[Value] = field(default_factory=list)  # addresses whose bytes are copied to the second argument


def trace(code: Code, address: int) -> Trace:
    """Follow every path of the function at `address`; what can't be followed is left out, never guessed."""
    machine, disassembler = _machine(code.machine)
    result = Trace()
    waiting = [State(address, dict(machine.ENTRY))]
    instructions = paths = 0
    decoded: dict[int, Any] = {}
    while waiting and paths < MAX_PATHS:
        state: State | None = waiting.pop()
        paths += 1
        while state is not None and instructions < MAX_INSTRUCTIONS:
            instruction = _decode(code, disassembler, state.address, decoded)
            if instruction is None or state.address in state.visited:
                break
            instructions += 1
            state.visited.add(state.address)
            state.address += instruction.size
            following = machine.step(state, instruction)
            state = following.pop() if following else None
            waiting += following
            if state is not None and state.finished:
                _collect(result, state)
                state = None
    return result


def _collect(result: Trace, state: State) -> None:
    if state.returned is not None and state.returned.root == "arg0":
        result.returns.append(state.returned)
    for destination, source in state.copies:
        if destination.root == "arg1" and not destination.loads and source.root == "arg0":
            result.copies.append(Value("arg0", source.loads, source.add - destination.add))


def _machine(machine: str) -> tuple[Any, Any]:
    """The module that knows the machine's instructions, and a disassembler."""
    if machine == "x86_64":
        disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        module: Any = loads_x86_64
    else:
        disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
        module = loads_arm64
    disassembler.detail = True
    return module, disassembler


def _decode(code: Code, disassembler: Any, address: int, decoded: dict[int, Any]) -> Any:
    """The instruction at `address`, or None outside the file's code; decodes a stretch at a time."""
    if address not in decoded:
        for instruction in _stretch(code, disassembler, address):
            decoded.setdefault(instruction.address, instruction)
    return decoded.get(address)


def _stretch(code: Code, disassembler: Any, address: int) -> Iterator[Any]:
    yield from disassembler.disasm(code.read(address, 128), address)
