"""Finds the function inside a TLS library that formats the lines of a key log, in any build, stripped or static.

Every OpenSSL (since 1.1.1) and BoringSSL calls one internal function for each secret, `ssl_log_secret(ssl, label,
secret, length)`, whether or not the program wants a key log: the test for a callback is the function's own first act. A
probe at its entry thus sees every secret. It has no exported name, so it is found by what it is called with: the labels
of the NSS key log format.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from plainwire.inspect.elf import ElfFile
from plainwire.layouts.code_references import find_references, find_strings
from plainwire.layouts.register_flow import walk_from, walk_function
from plainwire.layouts.register_values import ArgumentPath, Call, Read

# Each is passed to the function itself in every build; of the others, OpenSSL first keeps the address in a variable.
LABELS = (b"CLIENT_RANDOM", b"EXPORTER_SECRET", b"CLIENT_TRAFFIC_SECRET_0")
RANDOM_SIZE = 32  # bytes of a client random (RFC 8446, section 4.1.2)

_MACHINES = ("x86_64", "aarch64")
# Bytes of code between loading a label and the call that takes it; and the most that a function is looked at.
_CALL_DISTANCE = 160
_FUNCTION_SIZE = 12 << 10


@dataclass(frozen=True, slots=True)
class KeylogFunction:
    """Where to attach, and which of the function's arguments (numbered from 0) means what.

    address: as linked; file_offset: what a uprobe wants. random: how the client random is reached. random_length: the
    argument that holds its length, where the function serves other lines too (OpenSSL's "RSA" lines, whose 8 bytes are
    the start of an encrypted secret); None: it is always 32.
    """

    address: int
    file_offset: int
    label: int
    secret: int
    secret_length: int
    random: ArgumentPath
    random_length: int | None


@dataclass(frozen=True, slots=True)
class NoKeylogFunction:
    """Why none was found."""

    reason: str


def find_keylog_function(elf: ElfFile) -> KeylogFunction | NoKeylogFunction:
    """Look for the function. Takes about a second for an executable of 150 MB, 30 ms for a libssl.

    Raises InputError when the file is damaged.
    """
    if elf.machine not in _MACHINES:
        return NoKeylogFunction(f"no support for {elf.machine}")
    strings = find_strings(elf, LABELS)
    if not strings:
        return NoKeylogFunction("it has none of the labels of the key log format")
    callee = _callee_by_vote(elf, strings)
    if callee is None:
        return NoKeylogFunction("it has the labels of the key log format, but no function is called with them")
    address, label = callee
    steps = list(walk_function(elf.machine, _code(elf, address, _FUNCTION_SIZE), address))
    inner = _inner_function(elf, steps, label)
    if inner is not None:
        return inner
    if label != 1:
        return NoKeylogFunction(f"the function at {address:#x} takes the label as argument {label}, which is not known")
    random = _client_random(steps)
    if random is None:
        return NoKeylogFunction(f"where the function at {address:#x} takes the client random from could not be seen")
    return KeylogFunction(address, elf.file_offset(address), label, 2, 3, random, None)


def _callee_by_vote(elf: ElfFile, strings: dict[int, bytes]) -> tuple[int, int] | None:
    """The function that is called with most of the labels, and the argument in which they stand."""
    votes: dict[tuple[int, int], set[bytes]] = defaultdict(set)
    for reference in find_references(elf, strings):
        code = _code(elf, reference.address, _CALL_DISTANCE)
        for step in walk_from(elf.machine, code, reference.address):
            if isinstance(step, Call):
                for number, value in step.arguments.items():
                    if value == reference.target and step.target is not None:
                        votes[step.target, number].add(strings[reference.target])
                break
    if not votes:
        return None
    winner = max(votes, key=lambda candidate: len(votes[candidate]))
    return winner if len(votes[winner]) > 1 else None


def _inner_function(elf: ElfFile, steps: Iterable[Call | Read], label: int) -> KeylogFunction | None:
    """The function to which this one only hands its arguments on, with the client random and its length added.

    OpenSSL's nss_keylog_int, where the compiler kept it apart: it serves ssl_log_rsa_client_key_exchange too.
    """
    call = next((step for step in steps if isinstance(step, Call)), None)
    if call is None or call.target is None or not call.straight:
        return None
    places = {value: number for number, value in call.arguments.items()}
    needed = (ArgumentPath(label, (0,)), ArgumentPath(2, (0,)), ArgumentPath(3, (0,)), RANDOM_SIZE)
    randoms = [
        (value, number) for value, number in places.items() if isinstance(value, ArgumentPath) and _is_inside_ssl(value)
    ]
    if any(value not in places for value in needed) or len(randoms) != 1:
        return None
    return KeylogFunction(
        call.target,
        elf.file_offset(call.target),
        label=places[needed[0]],
        secret=places[needed[1]],
        secret_length=places[needed[2]],
        random=ArgumentPath(randoms[0][1], (0,)),
        random_length=places[RANDOM_SIZE],
    )


def _client_random(steps: Iterable[Call | Read]) -> ArgumentPath | None:
    """What ssl_log_secret formats as 32 bytes: it hands them to a function with that length, or reads them itself.

    A compiler may leave the length out, in a copy of nss_keylog_int made for it; the secret is then handed on too.
    """
    handed: set[ArgumentPath] = set()
    read: dict[ArgumentPath, int] = {}
    for step in steps:
        if isinstance(step, Call):
            hands_all_on = {ArgumentPath(number, (0,)) for number in (1, 2, 3)} <= set(step.arguments.values())
            handed.update(
                value
                for number, value in step.arguments.items()
                if isinstance(value, ArgumentPath)
                and _is_inside_ssl(value)
                and (hands_all_on or step.arguments.get(number + 1) == RANDOM_SIZE)
            )
        elif step.size in (1, 16) and _is_inside_ssl(step.place):
            read[step.place] = step.size
    if handed:
        return handed.pop() if len(handed) == 1 else None
    # Unrolled or vectorised code reads at several places, one behind the other: the first counts.
    first = [place for place, size in read.items() if place.plus(-size) not in read]
    return first[0] if len(first) == 1 else None


def _is_inside_ssl(path: ArgumentPath) -> bool:
    """True for a place in the SSL structure, or in one that it points to, but not for the pointers themselves."""
    return path.argument == 0 and path.offsets[-1] > 0


def _code(elf: ElfFile, address: int, size: int) -> bytes:
    """Up to `size` bytes of code."""
    for segment in elf.executable_segments:
        if segment.address <= address < segment.address + segment.file_size:
            return elf.read(address, min(size, segment.address + segment.file_size - address))
    return b""
