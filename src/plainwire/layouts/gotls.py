"""What differs between Go programs, for the programs of bpf/gotls.bpf.c: addresses, calling convention, offsets.

All is read from the program's own function table and machine code; no Go version is looked up anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.elf_relocations import Pointers
from plainwire.inspect.go_buildinfo import BuildInfo, read_build_info
from plainwire.inspect.go_pclntab import GoFunction, Pclntab

if TYPE_CHECKING:
    from plainwire.inspect.go_code import Abi

READ = "crypto/tls.(*Conn).Read"
WRITE = "crypto/tls.(*Conn).Write"
WRITE_RECORD = "crypto/tls.(*Conn).writeRecordLocked"
WRITE_KEY_LOG = "crypto/tls.(*Config).writeKeyLog"
# What crypto/tls calls writeKeyLog with; in the order of bpf/gotls.bpf.c.
KEY_LABELS = (
    b"CLIENT_RANDOM",
    b"CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    b"SERVER_HANDSHAKE_TRAFFIC_SECRET",
    b"CLIENT_TRAFFIC_SECRET_0",
    b"SERVER_TRAFFIC_SECRET_0",
)
CLOSE = "crypto/tls.(*Conn).Close"
_HOOKED = (READ, WRITE_RECORD, WRITE_KEY_LOG, CLOSE)

# Connections whose structure begins with a *net.netFD, whose descriptor stands at byte 16 (internal/poll.FD.Sysfd).
_SOCKET_TYPES = ("net.(*TCPConn)", "net.(*UnixConn)")
# The place in an itab of a method of net.Conn: after three words, its methods in alphabetical order. The linker
# replaces those that nothing calls; these three crypto/tls calls.
_METHODS = {"Close": 3, "Read": 5, "Write": 10}
_NEIGHBOURHOOD = 1 << 18


@dataclass(frozen=True, slots=True)
class GoTls:
    """How to capture one Go program. Addresses are as linked.

    bodies: function -> where its work begins, after its stack check. returns: function -> its RETs. version_offset: of
    `vers` in tls.Conn. parked_reads: the arguments of a read stand in its caller's frame until it returns.
    socket_itabs: the values that the type word of a net.Conn has for TCP and Unix sockets. key_labels: where KEY_LABELS
    stand, 0 where that is not clear. problems: what is missing and what that means, for people.
    """

    build: BuildInfo | None
    format: tuple[int, int]
    abi: Abi
    bodies: dict[str, int]
    returns: dict[str, tuple[int, ...]]
    parked_reads: bool
    version_offset: int | None
    socket_itabs: tuple[int, ...]
    key_labels: tuple[int, ...]
    problems: tuple[str, ...]


def is_go_program(elf: ElfFile) -> bool:
    """Whether Go's linker made this file. Cheap: looks at names of sections alone."""
    names = {section.name for section in elf.sections}
    return not names.isdisjoint({".go.buildinfo", ".gopclntab", ".data.rel.ro.gopclntab", ".note.go.buildid"})


def read_go_tls(elf: ElfFile) -> GoTls:
    """What a capture of this Go program needs. Raises InputError that says why it can't be captured."""
    # The disassembler, which takes long to import, is needed where there is a Go program.
    from plainwire.inspect.go_code import GoCode  # noqa: PLC0415

    if elf.bits != 64 or elf.machine not in ("x86_64", "aarch64"):
        raise InputError(f"{elf.name}: a Go program for {elf.machine}; only x86_64 and aarch64 can be captured")
    table = Pclntab.find(elf)
    build = read_build_info(elf)
    if table is None:
        raise InputError(f"{elf.name}: no Go function table: not a Go program, or packed (upx -d unpacks)")
    methods = [f"{conn}.{method}" for conn in _SOCKET_TYPES for method in _METHODS]
    functions = table.functions([READ, WRITE, WRITE_RECORD, WRITE_KEY_LOG, CLOSE, *methods])
    _require_tls(elf, table, functions)
    code = {name: GoCode(elf, functions[name]) for name in _HOOKED if name in functions}
    read = code[READ]
    abi = read.prologue.abi or ("register" if table.format >= (1, 18) else "stack")
    if not read.returns:
        raise InputError(f"{elf.name}: {READ} has no RET instruction")
    version_offset = GoCode(elf, functions[WRITE]).version_offset() if WRITE in functions else None
    pointers = Pointers(elf)
    itabs = _socket_itabs(pointers, table, functions)
    problems = []
    if WRITE_KEY_LOG not in functions:
        problems.append("no keys: writeKeyLog is not in this program (the linker removed it, or it was inlined)")
    if version_offset is None:
        problems.append("TLS version unknown: its place in tls.Conn was not found")
    if not itabs:
        problems.append("descriptors unknown: no net.Conn of a socket was found")
    return GoTls(
        build=build,
        format=table.format,
        abi=abi,
        bodies={name: one.prologue.body for name, one in code.items()},
        returns={READ: read.returns},
        parked_reads=abi == "stack" or read.keeps_buffer_above_frame(),
        version_offset=version_offset,
        socket_itabs=itabs,
        key_labels=_label_places(pointers, table),
        problems=tuple(problems),
    )


def _require_tls(elf: ElfFile, table: Pclntab, functions: dict[str, GoFunction]) -> None:
    missing = [name for name in (READ, WRITE_RECORD) if name not in functions]
    if not missing:
        return
    if not table.functions(["runtime.main"]):
        raise InputError(f"{elf.name}: a Go program whose function names are disguised (garble?); nothing can be found")
    if len(missing) == 1:
        raise InputError(f"{elf.name}: {missing[0]} is not in this program: the linker removed it, or it was inlined")
    raise InputError(f"{elf.name}: a Go program without crypto/tls: it has nothing to capture")


def _label_places(pointers: Pointers, table: Pclntab) -> tuple[int, ...]:
    """The address of each of KEY_LABELS; 0 where it stands in several places or in none.

    What labels have in common is searched, and not each of them: constants can be 50 MB.
    """
    places: dict[bytes, list[int]] = {label: [] for label in KEY_LABELS}
    for address, data in pointers.data(False, table.addresses):
        for common in (b"CLIENT_RANDOM", b"TRAFFIC_SECRET"):
            at = data.find(common)
            while at >= 0:
                for label, found in places.items():
                    start = at - label.find(common)
                    if common in label and data.startswith(label, max(start, 0)):
                        found.append(address + start)
                at = data.find(common, at + 1)
    return tuple(found[0] if len(found) == 1 else 0 for found in places.values())


def _socket_itabs(pointers: Pointers, table: Pclntab, functions: dict[str, GoFunction]) -> tuple[int, ...]:
    """Addresses of the itabs of (net.Conn, socket type): pairs of an interface and a type, one in a program.

    An itab is known by its methods, so this depends on no layout of Go's type descriptors. The linker puts itabs side
    by side: after the first one its neighbourhood is searched first, in no time where all constants take 10 ms.
    """
    found: list[int] = []
    for conn in _SOCKET_TYPES:
        methods = {slot: functions.get(f"{conn}.{method}") for method, slot in _METHODS.items()}
        close = methods[_METHODS["Close"]]
        if close is None:
            continue
        near = range(found[0] - _NEIGHBOURHOOD, found[0] + _NEIGHBOURHOOD) if found else None
        for within in (near, None) if near else (None,):
            places = pointers.to(close.address, writable=False, without=table.addresses, within=within)
            itabs = [place - _METHODS["Close"] * 8 for place in places]
            known = [itab for itab in itabs if _is_itab(pointers, itab, methods)]
            if known:
                found += known
                break
    return tuple(found)


def _is_itab(pointers: Pointers, itab: int, methods: dict[int, GoFunction | None]) -> bool:
    return all(function and _holds(pointers, itab + slot * 8, function) for slot, function in methods.items())


def _holds(pointers: Pointers, address: int, function: GoFunction) -> bool:
    try:
        return pointers.at(address) == function.address
    except InputError:
        return False
