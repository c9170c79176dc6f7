"""Compiles a filter in pcap-filter syntax, by libpcap: cffi, ABI mode (bindings/libpcap.h)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from plainwire.errors import InputError, PlainwireError
from plainwire.kernel._libpcap import ffi

DLT_ETHERNET: Final = 1
DLT_RAW: Final = 12
"""Packets that begin with the IPv4 or IPv6 header. In files this has another number: LINKTYPE_RAW."""

_SNAPLEN: Final = 262144  # tcpdump's default; a filter that matches returns it
_NETMASK_UNKNOWN: Final = 0xFFFFFFFF


class ClassicInstruction(NamedTuple):
    """One instruction of classic BPF. Jump offsets count from the next instruction."""

    code: int
    jump_true: int
    jump_false: int
    k: int


def compile_filter(expression: str, link_type: int) -> list[ClassicInstruction]:
    """The classic BPF program for packets of a DLT_* link type. InputError: libpcap does not take the expression."""
    library = _open_library()
    handle = library.pcap_open_dead(link_type, _SNAPLEN)
    program = ffi.new("struct bpf_program *")
    try:
        if library.pcap_compile(handle, program, expression.encode(), 1, _NETMASK_UNKNOWN) != 0:
            reason = ffi.string(library.pcap_geterr(handle)).decode(errors="replace")
            raise InputError(f"the packet filter {expression!r} is not understood: {reason} (see man pcap-filter)")
        instructions = program.bf_insns[0 : program.bf_len]
        compiled = [ClassicInstruction(each.code, each.jt, each.jf, each.k) for each in instructions]
        library.pcap_freecode(program)
        return compiled
    finally:
        library.pcap_close(handle)


def _open_library() -> Any:
    for name in ("libpcap.so.0.8", "libpcap.so.1"):  # Debian's soname, everybody else's
        try:
            return ffi.dlopen(name)
        except OSError:
            continue
    raise PlainwireError("a packet filter needs libpcap: apt-get install libpcap0.8, dnf install libpcap")
