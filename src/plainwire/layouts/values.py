"""Values relative to a function's arguments, and the state of one path through its code."""

from __future__ import annotations

from dataclasses import dataclass, field

WORD = 8


@dataclass(frozen=True, slots=True)
class Value:
    """`root`, dereferenced at each of `loads` in turn, plus `add`: `*(*(root + loads[0]) + loads[1]) + add`.

    `root` is "arg0", "arg1", …, "stack" or "constant" (then `add` is the number). `width` is the last load's, in bytes.
    """

    root: str
    loads: tuple[int, ...] = ()
    add: int = 0
    width: int = WORD

    def plus(self, number: int) -> Value:
        return Value(self.root, self.loads, self.add + number)

    def load(self, width: int) -> Value | None:
        if self.root not in ("arg0", "arg1", "arg2"):
            return None
        return Value(self.root, (*self.loads, self.add), 0, width)


def constant(number: int) -> Value:
    return Value("constant", (), number)


_TYPE = Value("arg0", (0,), 0, 4)


@dataclass(slots=True)
class State:
    """One path: what the registers and the stack hold, and what was copied on the way."""

    address: int
    registers: dict[str, Value | None]
    stack: dict[int, Value | None] = field(default_factory=dict)
    visited: set[int] = field(default_factory=set)
    copies: list[tuple[Value, Value]] = field(default_factory=list)  # destination address, source address
    compared_with_zero: Value | None = None  # what the flags tell of
    finished: bool = False
    returned: Value | None = None

    def fork(self, address: int) -> State:
        return State(
            address,
            dict(self.registers),
            dict(self.stack),
            set(self.visited),
            list(self.copies),
            self.compared_with_zero,
        )

    def is_zero(self, value: Value | None) -> None:
        """On this path `value` was found to be zero, wherever it is held."""
        if value is None:
            return
        self.registers = {name: constant(0) if held == value else held for name, held in self.registers.items()}
        self.stack = {offset: constant(0) if held == value else held for offset, held in self.stack.items()}

    def load(self, address: Value | None, width: int) -> Value | None:
        if address is None:
            return None
        if address.root == "stack":
            return self.stack.get(address.add) if not address.loads else None
        return address.load(width)

    def store(self, address: Value | None, value: Value | None) -> None:
        if address is None:
            return
        if address.root == "stack" and not address.loads:
            self.stack[address.add] = value
        elif value is not None and value.loads:
            self.copies.append((address, Value(value.root, value.loads[:-1], value.loads[-1])))

    def copy(self, destination: Value | None, source: Value | None) -> None:
        if destination is not None and source is not None:
            self.copies.append((destination, source))

    def call(self, arguments: list[Value | None], clobbered: tuple[str, ...], result: str) -> None:
        """A function that is not followed: perhaps memcpy(arguments[0], arguments[1], …)."""
        self.copy(arguments[0], arguments[1])
        for register in clobbered:
            self.registers[register] = None
        self.registers[result] = None

    def finish(self, returned: Value | None) -> list[State]:
        """`returned` counts if it is what a load gave, unchanged."""
        self.finished = True
        self.returned = returned if returned is not None and returned.loads and not returned.add else None
        return [self]

    def branch(self, target: int, zero_if_taken: bool | None, tested: Value | None) -> list[State]:
        """The ways on from a conditional jump. zero_if_taken: on which of them `tested` is zero; None: on neither.

        The object's first number, where the code tests it, is the type that OpenSSL has there since 3.2, and 0 means
        the plain object and not QUIC's, which keeps everything elsewhere: only that way is followed.
        """
        taken = self.fork(target)
        if zero_if_taken is not None:
            zero = taken if zero_if_taken else self
            zero.is_zero(tested)
            if tested == _TYPE:
                return [zero]
        return [self, taken]
