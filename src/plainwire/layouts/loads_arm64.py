"""One arm64 instruction's effect on values (AAPCS64 calling convention)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from capstone import arm64

from .values import WORD, State, Value, constant

ENTRY = {"x0": Value("arg0"), "x1": Value("arg1"), "x2": Value("arg2"), "sp": Value("stack")}

_CALLER_SAVED = (*(f"x{i}" for i in range(19)), "x30", *(f"v{i}" for i in range(8)), *(f"v{i}" for i in range(16, 32)))
_WIDTHS = {"b": 1, "h": 2, "w": 4, "s": 4, "x": 8, "d": 8, "q": 16}
_ZERO = ("wzr", "xzr")


@lru_cache(maxsize=512)
def _whole(name: str) -> str:
    """The 64-bit or vector register of which `name` is a part."""
    if name[0] == "w" and name[1:].isdigit():
        return "x" + name[1:]
    if name[0] in "bhsdq" and name[1:].isdigit():
        return "v" + name[1:]
    return {"fp": "x29", "lr": "x30", "wsp": "sp"}.get(name, name)


def step(state: State, instruction: Any) -> list[State]:
    """The paths on which the code goes on after `instruction`; none where it can't be followed."""
    name, operands = instruction.mnemonic, instruction.operands
    registers = state.registers

    def get(operand: Any) -> Value | None:
        if operand.type == arm64.ARM64_OP_IMM:
            return constant(operand.imm << operand.shift.value)
        if operand.type != arm64.ARM64_OP_REG or operand.shift.value or operand.ext:
            return None
        register = instruction.reg_name(operand.reg)
        if register in _ZERO:
            return constant(0)
        value = registers.get(_whole(register))
        return value if register[0] != "w" or (value is not None and value.width <= 4) else None

    def put(operand: Any, value: Value | None) -> None:
        registers[_whole(instruction.reg_name(operand.reg))] = value

    def width(operand: Any) -> int:
        for suffix, size in (("b", 1), ("h", 2), ("sw", 4)):
            if name.startswith(("ldr", "ldur", "ldrs", "ldurs", "str", "stur")) and name.endswith(suffix):
                return size
        return _WIDTHS.get(instruction.reg_name(operand.reg)[0], WORD)

    def memory() -> tuple[Value | None, int]:
        """The address that a load or store uses, and the operand's index; moves the base register where it is to."""
        index = next(i for i, operand in enumerate(operands) if operand.type == arm64.ARM64_OP_MEM)
        place = operands[index].mem
        base_name = _whole(instruction.reg_name(place.base))
        base = registers.get(base_name)
        if base is None or place.index:
            return None, index
        address = base.plus(place.disp)
        if instruction.writeback:
            after = operands[index + 1].imm if len(operands) > index + 1 else place.disp
            registers[base_name] = base.plus(after)
            address = base if len(operands) > index + 1 else address
        return address, index

    if name in ("cbz", "cbnz"):
        return state.branch(operands[1].imm, name == "cbz", get(operands[0]))
    if name in ("tbz", "tbnz"):
        return state.branch(operands[2].imm, None, None)
    if name in ("b.eq", "b.ne"):
        return state.branch(operands[0].imm, name == "b.eq", state.compared_with_zero)
    if name.startswith("b."):
        return state.branch(operands[0].imm, None, None)
    if name == "b":
        state.address = operands[0].imm
        return [state]
    if name.startswith("br"):  # to a function that is not followed; brk, a trap, comes here too and returns nothing
        state.call([registers.get("x0"), registers.get("x1")], _CALLER_SAVED, "x0")
        return state.finish(None)
    if name.startswith("ret"):
        return state.finish(registers.get("x0"))

    if name in ("bl", "blr") or name.startswith("blra"):
        state.call([registers.get("x0"), registers.get("x1")], _CALLER_SAVED, "x0")
    elif name.startswith(("ldr", "ldur", "ldp", "ldnp")) and any(o.type == arm64.ARM64_OP_MEM for o in operands):
        address, count = memory()
        size = width(operands[0])
        for position in range(count):
            at = address.plus(position * size) if address is not None else None
            put(operands[position], state.load(at, size))
    elif name.startswith(("str", "stur", "stp", "stnp")):
        address, count = memory()
        size = width(operands[0])
        for position in range(count):
            state.store(address.plus(position * size) if address is not None else None, get(operands[position]))
    elif name in ("mov", "movz", "adr", "adrp"):
        put(operands[0], get(operands[1]))
    elif name in ("add", "sub") and len(operands) == 3 and operands[2].type == arm64.ARM64_OP_IMM:
        value, number = get(operands[1]), operands[2].imm << operands[2].shift.value
        put(operands[0], value.plus(number if name == "add" else -number) if value is not None else None)
    elif name == "csel":
        other = state.fork(state.address)
        put(operands[0], get(operands[1]))
        other.registers[_whole(instruction.reg_name(operands[0].reg))] = get(operands[2])
        return [state, other]
    elif name == "cmp" and operands[1].type == arm64.ARM64_OP_IMM:
        state.compared_with_zero = get(operands[0]) if operands[1].imm == 0 else None
    else:
        for written in instruction.regs_access()[1]:
            register = instruction.reg_name(written)
            if register == "nzcv":
                state.compared_with_zero = None
            else:
                registers[_whole(register)] = None
    return [state]
