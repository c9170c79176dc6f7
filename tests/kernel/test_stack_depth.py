"""The functions that call each other fit into a program's stack of 512 bytes, as kernels before 6.13 count it.

Newer ones give some programs a stack for each function, so that a capture which runs here may be refused there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from plainwire.kernel.object_files import OBJECTS

MAX_BPF_STACK, ROUNDED_TO = 512, 32  # include/linux/filter.h; check_max_stack_depth() of kernel/bpf/verifier.c
INSTRUCTION = struct.Struct("<BBhi")  # struct bpf_insn: code, registers, offset, immediate
CALL, CALLS_FUNCTION = 0x85, 1
MOVE, ADD_IMMEDIATE, FRAME_POINTER = 0xBF, 0x07, 10
LOAD, STORES = 1, (2, 3)  # classes
Function = tuple[int, int]  # index of its section, and where it begins there


@dataclass
class Frame:
    """A function's name, the bytes of stack that it uses itself, and the functions that it calls."""

    name: str
    size: int = 0
    calls: list[Function] = field(default_factory=list)


def read_frames(elf: ELFFile) -> dict[Function, Frame]:
    symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
    functions = [symbol for symbol in symbols if symbol["st_info"]["type"] == "STT_FUNC"]
    calls = {
        (section["sh_info"], relocation["r_offset"]): symbols[relocation["r_info_sym"]]
        for section in elf.iter_sections()
        if isinstance(section, RelocationSection)
        for relocation in section.iter_relocations()
    }
    frames = {}
    for function in functions:
        place = function["st_shndx"], function["st_value"]
        code = elf.get_section(place[0]).data()[place[1] : place[1] + function["st_size"]]
        frames[place] = read_frame(function.name, place, code, calls)
    return frames


def read_frame(name: str, place: Function, code: bytes, relocations: dict[Function, object]) -> Frame:
    frame = Frame(name)
    copies: set[int] = set()  # registers that hold the frame pointer
    for index, (operation, registers, offset, immediate) in enumerate(INSTRUCTION.iter_unpack(code)):
        target, source = registers & 15, registers >> 4
        if operation == CALL and source == CALLS_FUNCTION:
            frame.calls.append(called(place[0], place[1] + index * INSTRUCTION.size, immediate, relocations))
        elif operation == ADD_IMMEDIATE and target in copies:
            frame.size = max(frame.size, -immediate)
        elif (operation & 7 in STORES and target == FRAME_POINTER) or (
            operation & 7 == LOAD and source == FRAME_POINTER
        ):
            frame.size = max(frame.size, -offset)
        if operation == MOVE and source == FRAME_POINTER:
            copies.add(target)
        elif operation & 7 not in STORES:
            copies.discard(target)
    return frame


def called(section: int, at: int, immediate: int, relocations: dict[Function, object]) -> Function:
    """As libbpf resolves it: by the symbol, or by a distance where the symbol is a section or there is none."""
    symbol = relocations.get((section, at))
    if symbol is None:
        return section, at + (immediate + 1) * INSTRUCTION.size
    distance = (immediate + 1) * INSTRUCTION.size if symbol["st_info"]["type"] == "STT_SECTION" else 0
    return symbol["st_shndx"], symbol["st_value"] + distance


def chains(frames: dict[Function, Frame], function: Function) -> Iterator[list[Frame]]:
    """Each way down from a function."""
    frame = frames[function]
    yield [frame]
    for callee in frame.calls:
        for chain in chains(frames, callee):
            yield [frame, *chain]


@pytest.mark.parametrize("path", sorted(OBJECTS.glob("*.o")), ids=lambda path: path.name)
def test_all_functions_fit(path: object) -> None:
    with ELFFile.load_from_path(str(path)) as elf:
        frames = read_frames(elf)
    for function in frames:
        for chain in chains(frames, function):
            depth = sum(-(-max(frame.size, 1) // ROUNDED_TO) * ROUNDED_TO for frame in chain)
            assert depth <= MAX_BPF_STACK, " → ".join(f"{frame.name} {frame.size}" for frame in chain)
