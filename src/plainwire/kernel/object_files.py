"""The built eBPF objects as files. Nothing here needs libbpf or a privilege."""

from __future__ import annotations

import platform
from pathlib import Path

from plainwire.errors import PlainwireError
from plainwire.inspect.elf import ElfFile

OBJECTS = Path(__file__).resolve().parent.parent / "bpf_objects"
# The object that is always loaded, first.
PROCESS_OBJECT = "processes"
# The module that captures packets, and its objects. They share their maps.
PACKET_MODULE = "tc"
PACKET_OBJECTS = ("tc", "packet_owners")
# Maps that the other objects have too, which are then its own.
SHARED_MAPS = ("target_pids", "target_comms", "loss_counters")
# The object that follows connections, and its maps that the modules' objects have too.
CONNECTION_OBJECT = "connections"
CONNECTION_MAPS = ("open_connections",)

# Process events are small and few; what they wait for is not to be behind the data.
PROCESS_BUFFER_SIZE = 4 << 20


def object_path(name: str, machine: str | None = None) -> Path:
    """The built object of bpf/NAME.bpf.c for a machine as `uname -m` names it; this one if None."""
    machine = machine or platform.machine()
    path = OBJECTS / f"{name}.{machine}.o"
    if not path.exists():
        raise PlainwireError(f"{path} is missing: there is no eBPF object for {machine}; `make build` makes them")
    return path


def object_btf(path: Path) -> bytes:
    """The .BTF section of an object."""
    with ElfFile(path) as elf:
        section = elf.section_bytes(".BTF")
    if section is None:
        raise PlainwireError(f"{path} was built without BTF; `make build` rebuilds it")
    return section
