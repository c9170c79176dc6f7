"""Attaches the programs that note which process uses which socket: the best ways that the kernel takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from plainwire.errors import PlainwireError
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.cgroups import open_root_cgroup
from plainwire.kernel.libbpf import check, check_pointer, ffi, lib
from plainwire.kernel.maps import BpfMap
from plainwire.kernel.uprobes import LibbpfLink, Link


@dataclass(frozen=True, slots=True)
class Way:
    """One way to note it: programs that only make sense together."""

    name: str
    programs: tuple[str, ...]


# Each line is a hook, its ways in the order of preference; the first that loads and attaches is used.
LADDER: Final[tuple[tuple[Way, ...], ...]] = (
    (Way("cgroup/sock_create", ("socket_created",)),),
    (Way("tracepoints sock_send_length and sock_recv_length", ("socket_sent", "socket_received")),),
    (Way("iterator over open files", ("socket_found",)),),
)


class PacketOwners:
    """What could be attached. `ways` are those in use, `refused` the others with the kernel's reason."""

    def __init__(self, prepare: Callable[[BpfObject], None], *, ladder: Iterable[tuple[Way, ...]] = LADDER) -> None:
        """prepare: sets constants, buffer and shared maps of an object before it is loaded."""
        self.ways: list[str] = []
        self.refused: dict[str, str] = {}
        self._objects: list[BpfObject] = []
        self._links: list[Link] = []
        for ways in ladder:
            for way in ways:
                try:
                    self._use(way, prepare)
                except PlainwireError as error:
                    self.refused[way.name] = str(error)
                else:
                    self.ways.append(way.name)
                    break

    def _use(self, way: Way, prepare: Callable[[BpfObject], None]) -> None:
        opened = BpfObject("packet_owners")
        links: list[Link] = []
        try:
            opened.choose_programs(way.programs)
            prepare(opened)
            opened.load()
            for name in way.programs:
                links += _attach(opened, name)
        except PlainwireError:
            for link in links:
                link.close()
            opened.close()
            raise
        self._objects.append(opened)
        self._links += links

    def close(self) -> None:
        """Take everything away."""
        for link in self._links:
            link.close()
        self._links.clear()
        for opened in self._objects:
            opened.close()
        self._objects.clear()


def _attach(opened: BpfObject, name: str) -> list[Link]:
    program = opened.program(name)
    section = ffi.string(lib.bpf_program__section_name(program)).decode()
    if section.startswith("iter/"):
        _run_iterator(program, name)
        return []
    if section.startswith("cgroup/"):
        root = open_root_cgroup()
        try:
            pointer = lib.bpf_program__attach_cgroup(program, root)
        finally:
            os.close(root)
    else:
        pointer = lib.bpf_program__attach(program)
    return [LibbpfLink(check_pointer(pointer, f"attach {section}"))]


def _run_iterator(program: object, name: str) -> None:
    """Run it to its end, once."""
    link = check_pointer(lib.bpf_program__attach_iter(program, ffi.NULL), f"attach the iterator {name}")
    try:
        descriptor = check(lib.bpf_iter_create(lib.bpf_link__fd(link)), f"start the iterator {name}")
        try:
            while os.read(descriptor, 4096):
                pass
        finally:
            os.close(descriptor)
    finally:
        lib.bpf_link__destroy(link)


def share_maps(opened: BpfObject, maps: Mapping[str, BpfMap]) -> None:
    """Let the object's maps of these names be those."""
    for name, other in maps.items():
        opened.share_map(name, other)
