"""What is known of the registers and the stack at one place in a function's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ArgumentPath:
    """How a value is reached from an argument: add the first offset; for each further one, load a pointer and add it.

    ArgumentPath(0, (0,)) is argument 0 itself; ArgumentPath(0, (48, 8)) is the address 8 bytes into the structure to
    which the pointer 48 bytes into argument 0's structure points.
    """

    argument: int
    offsets: tuple[int, ...]

    def plus(self, distance: int) -> ArgumentPath:
        """The path to `distance` bytes further on."""
        return ArgumentPath(self.argument, (*self.offsets[:-1], self.offsets[-1] + distance))

    def loaded(self, distance: int) -> ArgumentPath:
        """The path to the pointer that stands `distance` bytes further on."""
        return ArgumentPath(self.argument, (*self.plus(distance).offsets, 0))


Value = ArgumentPath | int
Branch = Literal["", "call", "jump", "conditional", "return"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call, or a jump out of the function (a tail call), with those argument registers whose values are known.

    target: None where it stands in a register or in memory. straight: no branch stands between the entry and here.
    """

    address: int
    target: int | None
    arguments: Mapping[int, Value]
    straight: bool


@dataclass(frozen=True, slots=True)
class Read:
    """A read of `size` bytes at a place that is reached from an argument, plus a counter in a register perhaps."""

    address: int
    place: ArgumentPath
    size: int


@dataclass(slots=True)
class State:
    """Registers whose value is known, by the whole register's name, and what was saved on the stack."""

    registers: dict[str, Value]
    # (register that points into the stack, distance) -> value
    stack: dict[tuple[str, int], Value] = field(default_factory=dict)

    def copy(self) -> State:
        """A state of its own that begins as this one."""
        return State(dict(self.registers), dict(self.stack))

    def set(self, register: str, value: Value | None) -> None:
        """A register is written; None: with what is not known."""
        if value is None:
            self.registers.pop(register, None)
        else:
            self.registers[register] = value
        for slot in [slot for slot in self.stack if slot[0] == register]:
            del self.stack[slot]


def add(value: Value | None, distance: int) -> Value | None:
    """The sum, where the value is known."""
    if isinstance(value, ArgumentPath):
        return value.plus(distance)
    return None if value is None else value + distance
