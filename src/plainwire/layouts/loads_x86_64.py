"""One x86-64 instruction's effect on values (System V calling convention)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from capstone import x86

from .values import WORD, State, Value, constant

ENTRY = {"rdi": Value("arg0"), "rsi": Value("arg1"), "rdx": Value("arg2"), "rsp": Value("stack")}

_CALLER_SAVED = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", *(f"xmm{i}" for i in range(16)))
_MOVES = {
    "mov", "movabs", "movzx", "movsx", "movsxd", "movq", "movd", "movups", "movaps", "movdqu", "movdqa", "movupd",
    "movapd", "lddqu", "vmovups", "vmovaps", "vmovdqu", "vmovdqa", "vmovq", "vmovd",
}  # fmt: skip
_KEEP_FLAGS = _MOVES | {"lea", "push", "pop", "nop", "endbr64"}


@lru_cache(maxsize=512)
def _whole(name: str) -> str:
    """The 64-bit register of which `name` is a part."""
    if name.startswith(("xmm", "ymm", "zmm")):
        return "xmm" + name[3:]
    if name[0] == "r" and name[1:2].isdigit():
        return name.rstrip("dwb")
    if len(name) == 3 and name[0] in "er":
        return "r" + name[1:]
    return {"sil": "rsi", "dil": "rdi", "bpl": "rbp", "spl": "rsp"}.get(name) or (
        f"r{name}" if name[1] in "xip" else f"r{name[0]}x"
    )


def step(state: State, instruction: Any) -> list[State]:
    """The paths on which the code goes on after `instruction`; none where it can't be followed."""
    name, operands = instruction.mnemonic, instruction.operands
    registers = state.registers

    def address_of(operand: Any) -> Value | None:
        memory = operand.mem
        if memory.segment or memory.index:
            return None
        if memory.base == x86.X86_REG_RIP:
            return constant(instruction.address + instruction.size + memory.disp)
        if not memory.base:
            return constant(memory.disp)
        base = registers.get(register(memory.base))
        return base.plus(memory.disp) if base is not None else None

    def register(number: int) -> str:
        return _whole(instruction.reg_name(number))

    def value_of(operand: Any) -> Value | None:
        if operand.type == x86.X86_OP_IMM:
            return constant(operand.imm)
        if operand.type == x86.X86_OP_MEM:
            return state.load(address_of(operand), operand.size)
        value = registers.get(register(operand.reg))
        return value if operand.size >= WORD or (value is not None and value.width <= operand.size) else None

    def assign(operand: Any, value: Value | None) -> None:
        if operand.type == x86.X86_OP_REG:
            registers[register(operand.reg)] = value
        elif operand.type == x86.X86_OP_MEM:
            state.store(address_of(operand), value)

    if name in ("je", "jne"):
        return state.branch(operands[0].imm, name == "je", state.compared_with_zero)
    if name == "jmp":
        if operands[0].type == x86.X86_OP_IMM:
            state.address = operands[0].imm
            return [state]
        state.call([registers.get("rdi"), registers.get("rsi")], _CALLER_SAVED, "rax")
        return state.finish(None)
    if name.startswith("j") or name.startswith("loop"):
        return state.branch(operands[0].imm, None, None)
    if name == "ret" or name.endswith(" ret"):
        return state.finish(registers.get("rax"))
    if name in ("ud2", "hlt", "int3"):
        return []

    if name.startswith("rep movs"):
        state.copy(registers.get("rdi"), registers.get("rsi"))
        registers["rdi"] = registers["rsi"] = registers["rcx"] = None
    elif name == "call":
        state.call([registers.get("rdi"), registers.get("rsi")], _CALLER_SAVED, "rax")
    elif name in _MOVES:
        assign(operands[0], value_of(operands[1]))
    elif name == "lea":
        assign(operands[0], address_of(operands[1]))
    elif name == "push":
        _move_stack(state, -WORD)
        state.store(registers["rsp"], value_of(operands[0]))
    elif name == "pop":
        assign(operands[0], state.load(registers["rsp"], WORD))
        _move_stack(state, WORD)
    elif name in ("add", "sub") and operands[1].type == x86.X86_OP_IMM and operands[0].size == WORD:
        value = value_of(operands[0])
        number = operands[1].imm if name == "add" else -operands[1].imm
        assign(operands[0], value.plus(number) if value is not None else None)
    elif name in ("xor", "sub") and operands[0].type == operands[1].type == x86.X86_OP_REG:
        same = operands[0].reg == operands[1].reg
        assign(operands[0], constant(0) if same else None)
    elif name.startswith("cmov"):
        unmoved = state.fork(state.address)
        assign(operands[0], value_of(operands[1]))
        return [state, unmoved]
    elif name in ("test", "cmp"):
        against_zero = operands[0].type == operands[1].type == x86.X86_OP_REG and operands[0].reg == operands[1].reg
        if name == "cmp":
            against_zero = operands[1].type == x86.X86_OP_IMM and operands[1].imm == 0
        state.compared_with_zero = value_of(operands[0]) if against_zero else None
        return [state]
    else:
        for written in instruction.regs_access()[1]:
            registers[_whole(instruction.reg_name(written))] = None
        if operands and operands[0].type == x86.X86_OP_MEM:
            state.store(address_of(operands[0]), None)
    if name not in _KEEP_FLAGS:
        state.compared_with_zero = None
    return [state]


def _move_stack(state: State, number: int) -> None:
    pointer = state.registers.get("rsp")
    state.registers["rsp"] = pointer.plus(number) if pointer is not None else None
