"""Finds the instructions that load given addresses, in code of any size without disassembling it.

An address is loaded by `lea register, [rip + distance]` or, in position-dependent files, `mov register, imm32`
(x86-64), and by the pair `adrp` and `add` (arm64). For one target, the upper half of the distance is the same all over
a stretch of code, so that a plain search for those bytes leaves few places to look at: 100 MB take well under a
second.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from plainwire.inspect.elf import ElfFile
from plainwire.inspect.elf_structures import Segment

ET_EXEC = 2

# Code is read in windows of this size; memory stays small also for a browser.
_WINDOW = 4 << 20
# The longest instruction looked for, or pair of instructions, so that none is lost between two windows.
_OVERLAP = 128
# x86-64: within so many bytes of code the upper half of a 32-bit distance takes at most two values.
_STRETCH = (1 << 16) - 16
_PAGE = 1 << 12
# arm64: how many instructions may stand between an adrp and its add.
_PAIR_DISTANCE = 16
_ADD_IMMEDIATE = 0x91000000  # add xd, xn, #imm12 (Arm ARM, C6.2.5)
_ADD_IMMEDIATE_MASK = 0xFFC00000


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """The instruction at `address` begins to load `target` into a register. Both are addresses as linked."""

    address: int
    target: int


def find_strings(elf: ElfFile, strings: Collection[bytes]) -> dict[int, bytes]:
    """Address → string, wherever one of the strings stands followed by NUL in loaded memory that can't be written.

    A linker may store a string as another one's tail, so the byte in front does not matter.
    """
    found: dict[int, bytes] = {}
    longest = max(map(len, strings)) + 1
    # Older linkers put constants into the segment of the code.
    for segment in sorted(elf.loaded_segments, key=lambda segment: segment.executable):
        if segment.writable or (segment.executable and found):
            continue
        for address, window in _windows(elf, segment, longest):
            for string in strings:
                at = window.find(string + b"\0")
                while at >= 0:
                    found[address + at] = string
                    at = window.find(string + b"\0", at + 1)
    return found


def find_references(elf: ElfFile, targets: Collection[int]) -> list[Reference]:
    """Every load of one of the target addresses, in the order of the code; none for machines that are not known."""
    if not targets:
        return []
    search = {"x86_64": _x86_references, "aarch64": _arm64_references}.get(elf.machine)
    if search is None:
        return []
    found: set[Reference] = set()
    if elf.machine == "x86_64" and elf.type == ET_EXEC:
        found = _search(elf, _x86_immediates, targets)
    return sorted(found or _search(elf, search, targets))


def _search(
    elf: ElfFile, search: Callable[[bytes, int, frozenset[int]], Iterator[Reference]], targets: Collection[int]
) -> set[Reference]:
    wanted = frozenset(targets)
    windows = (window for segment in elf.executable_segments for window in _windows(elf, segment, _OVERLAP))
    return {reference for address, code in windows for reference in search(code, address, wanted)}


def _windows(elf: ElfFile, segment: Segment, overlap: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, segment.file_size, _WINDOW):
        size = min(_WINDOW + overlap, segment.file_size - start)
        yield segment.address + start, elf.read_file(segment.offset + start, size)


def _x86_references(code: bytes, address: int, targets: frozenset[int]) -> Iterator[Reference]:
    """`lea r64, [rip + disp32]`: REX.W (48 or 4c), 8d, ModRM with mod 0 and r/m 5; from the next instruction on."""
    for start in range(0, len(code), _STRETCH):
        end = min(start + _STRETCH, len(code))
        upper_halves = {
            struct.pack("<I", (target - address - place) & 0xFFFFFFFF)[2:]
            for target in targets
            for place in (start, end + 4)
        }
        for upper in upper_halves:
            at = code.find(upper, start, end)
            while at >= 0:
                distance_at = at - 2
                if distance_at >= 3 and code[distance_at - 2] == 0x8D:
                    target = (
                        address + distance_at + 4 + int.from_bytes(code[distance_at : at + 2], "little", signed=True)
                    )
                    if (
                        target in targets
                        and code[distance_at - 3] in (0x48, 0x4C)
                        and code[distance_at - 1] & 0xC7 == 5
                    ):
                        yield Reference(address + distance_at - 3, target)
                at = code.find(upper, at + 1, end)


def _x86_immediates(code: bytes, address: int, targets: frozenset[int]) -> Iterator[Reference]:
    """`mov r32, imm32`: b8 to bf, after REX.B (41) for r8d to r15d."""
    for target in targets:
        if target >= 1 << 32:
            continue
        immediate = struct.pack("<I", target)
        at = code.find(immediate)
        while at >= 0:
            if at >= 1 and code[at - 1] & 0xF8 == 0xB8:
                prefixed = at >= 2 and code[at - 2] == 0x41
                yield Reference(address + at - 1 - prefixed, target)
            at = code.find(immediate, at + 1)


def _arm64_references(code: bytes, address: int, targets: frozenset[int]) -> Iterator[Reference]:
    """`adrp xn, page`, then `add xd, xn, #rest`; the reference's address is the adrp's (Arm ARM, C6.2.12)."""
    pages = {target // _PAGE for target in targets}
    first = -(address % _PAGE)
    for start in range(first, len(code), _PAGE):
        for page in pages:
            distance = page - (address + start) // _PAGE
            immediate = (distance >> 2) & 0x7FFFF
            pattern = bytes(((immediate >> 3) & 0xFF, immediate >> 11, 0x90 | (distance & 3) << 5))
            at = code.find(pattern, max(start, 0), start + _PAGE)
            while at >= 0:
                if at % 4 == 1 and code[at - 1] >> 5 == immediate & 7:
                    target = _paired_add(code, at - 1, page * _PAGE, targets)
                    if target is not None:
                        yield Reference(address + at - 1, target)
                at = code.find(pattern, at + 1, start + _PAGE)


def _paired_add(code: bytes, adrp_at: int, page: int, targets: frozenset[int]) -> int | None:
    register = code[adrp_at] & 0x1F
    for at in range(adrp_at + 4, min(adrp_at + 4 * _PAIR_DISTANCE, len(code) - 3), 4):
        word = int.from_bytes(code[at : at + 4], "little")
        if word & _ADD_IMMEDIATE_MASK == _ADD_IMMEDIATE and word >> 5 & 0x1F == register:
            target = page + (word >> 10 & 0xFFF)
            if target in targets:
                return target
    return None
