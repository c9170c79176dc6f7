"""Translates a compiled packet filter from classic BPF to an eBPF program of type sched_cls.

Classic BPF: <linux/filter.h>, Documentation/networking/filter.rst; eBPF: Documentation/bpf/standardization/
instruction-set.rst. The packet is read by the helper bpf_skb_load_bytes, which reaches all of it, wherever the kernel
keeps it. A load outside of the packet rejects it, as in classic BPF.

A VLAN tag that the kernel keeps beside the packet (skb->vlan_tci) is seen by the filter where it was on the wire: after
the two MAC addresses. What lies behind it is then 4 bytes nearer in the packet's memory than the filter believes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from plainwire.errors import InputError
from plainwire.kernel.packet_filter import ClassicInstruction

# Classic BPF: fields of the operation code.
_CLASS_LD, _CLASS_LDX, _CLASS_ST, _CLASS_STX, _CLASS_ALU, _CLASS_JMP, _CLASS_RET, _CLASS_MISC = range(8)
_SIZES: Final = {0x00: 4, 0x08: 2, 0x10: 1}
_MODE_IMM, _MODE_ABS, _MODE_IND, _MODE_MEM, _MODE_LEN, _MODE_MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_SOURCE_X: Final = 0x08
_RETURN_A: Final = 0x10
_TXA: Final = 0x80
_ALU_LSH, _ALU_RSH, _ALU_NEG, _ALU_DIV, _ALU_MOD = 0x60, 0x70, 0x80, 0x30, 0x90
_JA, _JEQ, _JGT = 0x00, 0x10, 0x20
_ANCILLARY: Final = 0xFFFFF000  # SKF_AD_OFF: from here on an offset names something beside the packet
_ANCILLARY_PACKET_TYPE: Final = _ANCILLARY + 4
_PACKET_OUTGOING: Final = 4

# eBPF: operation codes, registers, helpers.
_ALU32, _ALU64 = 0x04, 0x07
_JMP, _JMP32 = 0x05, 0x06
_ADD, _SUB, _OR, _AND, _LSH, _RSH, _NEG, _MOV = 0x00, 0x10, 0x40, 0x50, 0x60, 0x70, 0x80, 0xB0
_JNE, _JLT, _JLE = 0x50, 0xA0, 0xB0
_REGISTER: Final = 0x08
_LOAD: Final = {4: 0x61, 2: 0x69, 1: 0x71, 8: 0x79}
_STORE_REGISTER: Final = {4: 0x63, 8: 0x7B}
_TO_BIG_ENDIAN: Final = 0xDC
_LOAD_IMMEDIATE_64, _CALL, _EXIT = 0x18, 0x85, 0x95
_MAP_FD: Final = 1  # BPF_PSEUDO_MAP_FD
_R0, _R1, _R2, _R3, _R4, _R5, _SKB, _A, _X, _TAG_SIZE, _FRAME = range(11)
_HELPER_TAIL_CALL: Final = 12
_HELPER_LOAD_BYTES: Final = 26

# struct __sk_buff
_SKB_LEN, _SKB_PACKET_TYPE, _SKB_VLAN_PRESENT, _SKB_VLAN_TCI, _SKB_VLAN_PROTOCOL = 0, 4, 20, 24, 28

# The stack: 16 words of scratch memory, what was loaded, and for a tagged packet two windows of 8 bytes each onto the
# packet as the filter sees it, from bytes 8 and 12 on, as numbers. They overlap, so that each load which touches the
# tag lies within one of them.
_MEMORY, _LOADED, _WINDOW_8, _WINDOW_12 = -64, -72, -80, -88
_MAC_ADDRESSES: Final = 12
_AFTER_TAG: Final = 16
_NEXT_PROGRAM: Final = -1  # TCX_NEXT, TC_ACT_UNSPEC: whoever else is attached decides what happens to the packet

_ACCEPT = -1
_REJECT = -2
_MOST_INSTRUCTIONS: Final = 32767  # a jump's reach


class FilterProgram:
    """The eBPF program for one direction of one link type.

    outgoing: what the filter words `inbound` and `outbound` compare with. The program's end is chosen by `tail_call`
    or `verdict`.
    """

    def __init__(self, instructions: Sequence[ClassicInstruction], *, ethernet: bool, outgoing: bool) -> None:
        self._code: list[bytes] = []
        self._jumps: list[tuple[int, int]] = []  # where a jump stands, and the classic instruction or label it goes to
        self._places: dict[int, int] = {}
        self._ethernet = ethernet
        self._outgoing = outgoing
        self._labels = _REJECT
        self._prologue()
        for number, instruction in enumerate(instructions):
            self._places[number] = len(self._code)
            self._translate(number, instruction)

    def tail_call(self, programs_fd: int, index: int) -> bytes:
        """The program that goes on to a program of the map `programs_fd` where the packet matches."""
        accept = [
            _instruction(_ALU64 | _MOV | _REGISTER, _R1, _SKB),
            _instruction(_LOAD_IMMEDIATE_64, _R2, _MAP_FD, 0, programs_fd),
            _instruction(0, 0),
            _instruction(_ALU32 | _MOV, _R3, 0, 0, index),
            _instruction(_CALL, 0, 0, 0, _HELPER_TAIL_CALL),
        ]
        return self._finish(accept, _NEXT_PROGRAM)

    def verdict(self) -> bytes:
        """The program that returns 1 where the packet matches, else 0."""
        return self._finish([_instruction(_ALU32 | _MOV, _R0, 0, 0, 1), _instruction(_EXIT, 0)], 0)

    def _finish(self, accept: list[bytes], rejected: int) -> bytes:
        reject = [_instruction(_ALU64 | _MOV, _R0, 0, 0, rejected), _instruction(_EXIT, 0)]
        code = [*self._code, *accept, *reject]  # a tail call that fails falls through to the rejection
        if len(code) > _MOST_INSTRUCTIONS:
            raise InputError("the packet filter is too long to be run in the kernel; split it or leave terms out")
        places = self._places | {_ACCEPT: len(self._code), _REJECT: len(self._code) + len(accept)}
        for position, target in self._jumps:
            offset = places[target] - position - 1
            code[position] = code[position][:2] + struct.pack("<h", offset) + code[position][4:]
        return b"".join(code)

    def _emit(self, operation: int, target: int, source: int = 0, offset: int = 0, immediate: int = 0) -> None:
        self._code.append(_instruction(operation, target, source, offset, immediate))

    def _jump(self, label: int, operation: int = _JMP, register: int = 0, immediate: int = 0, source: int = 0) -> None:
        self._jumps.append((len(self._code), label))
        self._emit(operation, register, source, 0, immediate)

    def _new_label(self) -> int:
        self._labels -= 1
        return self._labels

    def _place(self, label: int) -> None:
        self._places[label] = len(self._code)

    def _prologue(self) -> None:
        self._emit(_ALU64 | _MOV | _REGISTER, _SKB, _R1)
        for register in (_A, _X, _TAG_SIZE):
            self._emit(_ALU32 | _MOV, register)
        for word in range(8):
            self._emit(_STORE_REGISTER[8], _FRAME, _A, _MEMORY + 8 * word)
        if not self._ethernet:
            return
        untagged = self._new_label()
        self._emit(_STORE_REGISTER[8], _FRAME, _A, _WINDOW_8)
        self._emit(_STORE_REGISTER[8], _FRAME, _A, _WINDOW_12)
        self._emit(_LOAD[4], _R0, _SKB, _SKB_VLAN_PRESENT)
        self._jump(untagged, _JMP32 | _JEQ, _R0, 0)
        # A frame that ends within its type field after the tag is not worth the code that it would need: rejected.
        self._load_bytes(8, 8)
        self._emit(_LOAD[8], _A, _FRAME, _LOADED)
        self._emit(_TO_BIG_ENDIAN, _A, 0, 0, 64)
        self._emit(_LOAD[4], _TAG_SIZE, _SKB, _SKB_VLAN_PROTOCOL)
        self._emit(_TO_BIG_ENDIAN, _TAG_SIZE, 0, 0, 16)
        self._emit(_ALU64 | _LSH, _TAG_SIZE, 0, 0, 16)
        self._emit(_LOAD[4], _R0, _SKB, _SKB_VLAN_TCI)
        self._emit(_ALU64 | _OR | _REGISTER, _TAG_SIZE, _R0)
        self._emit(_ALU64 | _MOV | _REGISTER, _R2, _A)
        self._emit(_ALU64 | _RSH, _R2, 0, 0, 32)
        self._emit(_ALU64 | _LSH, _R2, 0, 0, 32)
        self._emit(_ALU64 | _OR | _REGISTER, _R2, _TAG_SIZE)
        self._emit(_STORE_REGISTER[8], _FRAME, _R2, _WINDOW_8)
        self._emit(_ALU64 | _LSH, _TAG_SIZE, 0, 0, 32)
        self._emit(_ALU32 | _MOV | _REGISTER, _A, _A)
        self._emit(_ALU64 | _OR | _REGISTER, _A, _TAG_SIZE)
        self._emit(_STORE_REGISTER[8], _FRAME, _A, _WINDOW_12)
        self._emit(_ALU32 | _MOV, _A)
        self._emit(_ALU32 | _MOV, _TAG_SIZE, 0, 0, 4)
        self._place(untagged)

    def _translate(self, number: int, instruction: ClassicInstruction) -> None:
        instruction_class = instruction.code & 7
        if instruction_class in (_CLASS_LD, _CLASS_LDX):
            self._translate_load(_A if instruction_class == _CLASS_LD else _X, instruction)
        elif instruction_class in (_CLASS_ST, _CLASS_STX):
            source = _A if instruction_class == _CLASS_ST else _X
            self._emit(_STORE_REGISTER[4], _FRAME, source, _MEMORY + 4 * instruction.k)
        elif instruction_class == _CLASS_ALU:
            self._translate_arithmetic(instruction)
        elif instruction_class == _CLASS_JMP:
            self._translate_jump(number, instruction)
        elif instruction_class == _CLASS_RET:
            if instruction.code & 0x18 == _RETURN_A:
                self._jump(_REJECT, _JMP32 | _JEQ, _A, 0)
                self._jump(_ACCEPT)
            else:
                self._jump(_ACCEPT if instruction.k else _REJECT)
        elif instruction.code & _TXA:
            self._emit(_ALU32 | _MOV | _REGISTER, _A, _X)
        else:
            self._emit(_ALU32 | _MOV | _REGISTER, _X, _A)

    def _translate_load(self, target: int, instruction: ClassicInstruction) -> None:
        mode, k = instruction.code & 0xE0, instruction.k
        if mode == _MODE_IMM:
            self._emit(_ALU32 | _MOV, target, 0, 0, k)
        elif mode == _MODE_MEM:
            self._emit(_LOAD[4], target, _FRAME, _MEMORY + 4 * k)
        elif mode == _MODE_LEN:
            self._emit(_LOAD[4], target, _SKB, _SKB_LEN)
            self._emit(_ALU32 | _ADD | _REGISTER, target, _TAG_SIZE)
        elif mode == _MODE_MSH:
            self._load_fixed(k, 1)
            self._emit(_ALU32 | _AND, _R0, 0, 0, 0x0F)
            self._emit(_ALU32 | _LSH, _R0, 0, 0, 2)
            self._emit(_ALU32 | _MOV | _REGISTER, _X, _R0)
        elif mode == _MODE_IND:
            self._load_indirect(k, _SIZES[instruction.code & 0x18])
            self._emit(_ALU32 | _MOV | _REGISTER, _A, _R0)
        elif k == _ANCILLARY_PACKET_TYPE:
            # While it is sent, a packet's own type still is that of a received one.
            if self._outgoing:
                self._emit(_ALU32 | _MOV, _A, 0, 0, _PACKET_OUTGOING)
            else:
                self._emit(_LOAD[4], _A, _SKB, _SKB_PACKET_TYPE)
        elif k >= _ANCILLARY:
            raise InputError("the packet filter asks for something that is not in the packet; leave that term out")
        else:
            self._load_fixed(k, _SIZES[instruction.code & 0x18])
            self._emit(_ALU32 | _MOV | _REGISTER, _A, _R0)

    def _load_fixed(self, offset: int, size: int) -> None:
        """R0 = the packet's bytes at a fixed offset, as a number."""
        if offset > 0x7FFFFFFF:
            self._jump(_REJECT)
            return
        if not self._ethernet or offset + size <= _MAC_ADDRESSES:
            self._load_bytes(offset, size)
            self._number_from_loaded(size)
        elif offset >= _AFTER_TAG:
            self._emit(_ALU32 | _MOV, _R2, 0, 0, offset)
            self._emit(_ALU32 | _SUB | _REGISTER, _R2, _TAG_SIZE)
            self._load_bytes(None, size)
            self._number_from_loaded(size)
        else:
            self._emit(_ALU32 | _MOV, _R2, 0, 0, offset)
            self._load_at_tag(size)

    def _load_indirect(self, k: int, size: int) -> None:
        """R0 = the packet's bytes at X + k, as a number."""
        self._emit(_ALU32 | _MOV, _R2, 0, 0, k)
        self._emit(_ALU64 | _ADD | _REGISTER, _R2, _X)
        self._jump(_REJECT, _JMP | _JGT, _R2, 0x7FFFFFFF)
        if not self._ethernet:
            self._load_bytes(None, size)
            self._number_from_loaded(size)
            return
        before, near, done = self._new_label(), self._new_label(), self._new_label()
        self._jump(before, _JMP | _JLE, _R2, _MAC_ADDRESSES - size)
        self._jump(near, _JMP | _JLT, _R2, _AFTER_TAG)
        self._emit(_ALU32 | _SUB | _REGISTER, _R2, _TAG_SIZE)
        self._place(before)
        self._load_bytes(None, size)
        self._number_from_loaded(size)
        self._jump(done)
        self._place(near)
        self._load_at_tag(size)
        self._place(done)

    def _load_at_tag(self, size: int) -> None:
        """R0 = the bytes at R2, from the byte after the MAC addresses less `size` up to the tag's last."""
        untagged, first, found, done = (self._new_label() for _ in range(4))
        self._jump(untagged, _JMP32 | _JEQ, _TAG_SIZE, 0)
        self._jump(first, _JMP | _JLE, _R2, _MAC_ADDRESSES)
        self._emit(_LOAD[8], _R0, _FRAME, _WINDOW_12)
        self._emit(_ALU64 | _SUB, _R2, 0, 0, 12)
        self._jump(found)
        self._place(first)
        self._emit(_LOAD[8], _R0, _FRAME, _WINDOW_8)
        self._emit(_ALU64 | _SUB, _R2, 0, 0, 8)
        self._place(found)
        # Shift out what lies behind the wanted bytes, then cut off what lies before them.
        self._emit(_ALU64 | _LSH, _R2, 0, 0, 3)
        self._emit(_ALU64 | _MOV, _R1, 0, 0, 64 - 8 * size)
        self._emit(_ALU64 | _SUB | _REGISTER, _R1, _R2)
        self._emit(_ALU64 | _RSH | _REGISTER, _R0, _R1)
        if size == 4:
            self._emit(_ALU32 | _MOV | _REGISTER, _R0, _R0)
        else:
            self._emit(_ALU32 | _AND, _R0, 0, 0, (1 << 8 * size) - 1)
        self._jump(done)
        self._place(untagged)
        self._load_bytes(None, size)
        self._number_from_loaded(size)
        self._place(done)

    def _load_bytes(self, offset: int | None, size: int) -> None:
        """Put bytes at `offset` (None: R2) of the packet's memory on the stack; reject where it is shorter."""
        if offset is not None:
            self._emit(_ALU32 | _MOV, _R2, 0, 0, offset)
        self._emit(_ALU64 | _MOV | _REGISTER, _R1, _SKB)
        self._emit(_ALU64 | _MOV | _REGISTER, _R3, _FRAME)
        self._emit(_ALU64 | _ADD, _R3, 0, 0, _LOADED)
        self._emit(_ALU32 | _MOV, _R4, 0, 0, size)
        self._emit(_CALL, 0, 0, 0, _HELPER_LOAD_BYTES)
        self._jump(_REJECT, _JMP | _JNE, _R0, 0)

    def _number_from_loaded(self, size: int) -> None:
        self._emit(_LOAD[size], _R0, _FRAME, _LOADED)
        if size > 1:
            self._emit(_TO_BIG_ENDIAN, _R0, 0, 0, 8 * size)

    def _translate_arithmetic(self, instruction: ClassicInstruction) -> None:
        operation, k = instruction.code & 0xF0, instruction.k
        if operation == _ALU_NEG:
            self._emit(_ALU32 | _NEG, _A)
        elif instruction.code & _SOURCE_X:
            if operation in (_ALU_DIV, _ALU_MOD):
                self._jump(_REJECT, _JMP32 | _JEQ, _X, 0)
            if operation in (_ALU_LSH, _ALU_RSH):
                # eBPF takes the shift modulo 32; in classic BPF nothing is left from 32 on.
                in_range = self._new_label()
                self._jump(in_range, _JMP32 | _JLE, _X, 31)
                self._emit(_ALU32 | _MOV, _A)
                self._place(in_range)
            self._emit(_ALU32 | operation | _REGISTER, _A, _X)
        elif operation in (_ALU_DIV, _ALU_MOD) and k == 0:
            self._jump(_REJECT)
        elif operation in (_ALU_LSH, _ALU_RSH) and k > 31:
            self._emit(_ALU32 | _MOV, _A)
        else:
            self._emit(_ALU32 | operation, _A, 0, 0, k)

    def _translate_jump(self, number: int, instruction: ClassicInstruction) -> None:
        following = number + 1
        operation = instruction.code & 0xF0
        if operation == _JA:
            if instruction.k > 0x7FFFFFFF:
                # Only `protochain` jumps back; the kernel takes no loop whose end it can't see.
                raise InputError("the packet filter loops over headers (protochain), which can't be run in the kernel")
            self._jump(following + instruction.k)
            return
        # eBPF has the same numbers for these conditions.
        if instruction.code & _SOURCE_X:
            self._jump(following + instruction.jump_true, _JMP32 | operation | _REGISTER, _A, 0, _X)
        else:
            self._jump(following + instruction.jump_true, _JMP32 | operation, _A, instruction.k)
        if instruction.jump_false:
            self._jump(following + instruction.jump_false)


def _instruction(operation: int, target: int, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    """One eBPF instruction. The immediate's 32 bits may be given as signed or unsigned."""
    return struct.pack("<BBhI", operation, target | source << 4, offset, immediate & 0xFFFFFFFF)
