"""The kernel side of a packet capture: classifiers on interfaces, the packet filter, the owners of sockets."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from plainwire.errors import InputError
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.buffers import EventBuffer
from plainwire.kernel.classifiers import (
    BPF_PROG_TYPE_SCHED_CLS,
    attach_classifier,
    has_tcx,
    remove_leftovers,
)
from plainwire.kernel.filter_program import FilterProgram
from plainwire.kernel.libbpf import KernelError, lib
from plainwire.kernel.maps import BpfMap
from plainwire.kernel.object_files import object_btf
from plainwire.kernel.open_buffer import open_buffer
from plainwire.kernel.packet_filter import DLT_ETHERNET, DLT_RAW, ClassicInstruction, compile_filter
from plainwire.kernel.packet_owners import PacketOwners
from plainwire.kernel.syscalls import load_program
from plainwire.kernel.uprobes import Link
from plainwire.modules import HookChoice
from plainwire.sockets.interfaces import Interface, InterfaceMonitor, list_interfaces

ANY_INTERFACE: Final = "any"

# enum packet_program of bpf/tc.bpf.c
_CAPTURE_EGRESS, _CAPTURE_INGRESS, _FILTER_EGRESS, _FILTER_INGRESS = range(4)
_WITHOUT_ETHERNET: Final = 2
_INTERFACE = struct.Struct("=IIQQ")  # struct packet_interface_t


@dataclass(frozen=True, slots=True)
class PacketOptions:
    """interfaces: names, or "any". expression: in pcap-filter syntax. snaplen: bytes of each packet."""

    interfaces: tuple[str, ...]
    expression: str = ""
    snaplen: int = 262144
    tcx: bool | None = None  # None: where the kernel has it


class PacketCapture:
    """Loaded and attached when made. `fds` are readable when `drain` or `look_for_interfaces` has something to do."""

    def __init__(
        self,
        options: PacketOptions,
        *,
        constants: Mapping[str, int],
        shared_maps: Mapping[str, BpfMap],
        filter_processes: bool,
        buffer_size: int,
        ring: bool,
        hooks: HookChoice = "auto",
    ) -> None:
        """constants, shared_maps: of the filters for processes. Raises KernelError, InputError for the expression."""
        self._options = options
        self._filters = _compile(options.expression)
        self._tcx = has_tcx() if options.tcx is None else options.tcx
        self.buffer: EventBuffer = open_buffer(buffer_size, ring=ring)
        self._constants = {
            **constants,
            "use_ring": int(ring),
            "snaplen": options.snaplen,
            "filter_packets": int(bool(options.expression)),
            "filter_processes": int(filter_processes),
        }
        self._shared_maps = dict(shared_maps)
        self._object = BpfObject("tc")
        self._prepare(self._object)
        self._object.load()
        for name in ("socket_owners", "network_map"):
            self._shared_maps[name] = self._object.map(name)
        self._interfaces = self._object.map("packet_interfaces")
        self._programs = self._object.map("packet_programs")
        self._fill_programs()
        self.owners = PacketOwners(self._prepare, hooks)
        self._attached: dict[int, tuple[Interface, list[Link]]] = {}
        self._counted: dict[int, tuple[int, int]] = {}
        self.refused: dict[str, str] = {}  # interfaces, and why nothing is captured there
        self.monitor = InterfaceMonitor()

    def btf(self) -> bytes:
        """The BTF that tells how the events lie."""
        return object_btf(self._object.path)

    def _prepare(self, opened: BpfObject) -> None:
        opened.set_constants(self._constants)
        opened.share_event_buffer(self.buffer.fd, ring=self.buffer.is_ring)
        for name, other in self._shared_maps.items():
            opened.share_map(name, other)

    def _fill_programs(self) -> None:
        programs = {
            _CAPTURE_EGRESS: lib.bpf_program__fd(self._object.program("capture_egress")),
            _CAPTURE_INGRESS: lib.bpf_program__fd(self._object.program("capture_ingress")),
        }
        made = []
        for place, (classic, capture) in self._filters.items():
            code = FilterProgram(
                classic, ethernet=place < _FILTER_EGRESS + _WITHOUT_ETHERNET, outgoing=capture == _CAPTURE_EGRESS
            ).tail_call(self._programs.fd, capture)
            programs[place] = load_program(BPF_PROG_TYPE_SCHED_CLS, code, "load the packet filter")
            made.append(programs[place])
        for place, descriptor in programs.items():
            self._programs.update(struct.pack("=I", place), struct.pack("=I", descriptor))
        for descriptor in made:  # the map holds them now
            os.close(descriptor)

    def attach(self) -> list[Interface]:
        """Attach to the wanted interfaces that are new, forget those that are gone. Returns the new ones."""
        present = {interface.index: interface for interface in list_interfaces()}
        for index in self._attached.keys() - present.keys():
            self._forget(index)
        new = []
        for interface in present.values():
            if interface.index not in self._attached and self._is_wanted(interface):
                try:
                    self._attach(interface)
                except KernelError as error:
                    self.refused[interface.name] = str(error)
                else:
                    new.append(interface)
        return new

    def _is_wanted(self, interface: Interface) -> bool:
        named = interface.name in self._options.interfaces
        if not named and ANY_INTERFACE not in self._options.interfaces:
            return False
        if not interface.is_supported:
            self.refused[interface.name] = (
                f"its packets begin in a way that is not known (type {interface.hardware_type})"
            )
        return interface.is_supported

    def _attach(self, interface: Interface) -> None:
        if not self._tcx:
            remove_leftovers(interface.index)
        key = struct.pack("=I", interface.index)
        self._interfaces.update(
            key, _INTERFACE.pack(int(interface.has_ethernet_header), int(interface.is_loopback), 0, 0)
        )
        links: list[Link] = []
        self._attached[interface.index] = (interface, links)
        try:
            # What loopback sends comes in there again: captured once, where its sender is known best.
            for egress in (True,) if interface.is_loopback else (True, False):
                program = self._object.program("egress_cls_func" if egress else "ingress_cls_func")
                links.append(attach_classifier(program, interface.index, egress=egress, tcx=self._tcx))
        except KernelError:
            self._forget(interface.index)
            raise

    def _forget(self, index: int) -> None:
        _, links = self._attached.pop(index)
        self._counted[index] = self._count(index)
        for link in links:
            with suppress(OSError):
                link.close()
        self._interfaces.delete(struct.pack("=I", index))

    def _count(self, index: int) -> tuple[int, int]:
        value = self._interfaces.lookup(struct.pack("=I", index))
        _, _, packets, lost = _INTERFACE.unpack(value) if value else (0, 0, 0, 0)
        return packets, lost

    def counters(self) -> dict[int, tuple[int, int]]:
        """For each interface, by index: packets that were to be captured, and how many of them were lost."""
        return self._counted | {index: self._count(index) for index in self._attached}

    def missing(self) -> list[str]:
        """The interfaces that were named and are not there."""
        present = {interface.name for interface, _ in self._attached.values()}
        return [name for name in self._options.interfaces if name != ANY_INTERFACE and name not in present]

    def detach(self) -> None:
        """No packet is captured from now on; the buffer and the counters can still be read."""
        for index in list(self._attached):
            self._forget(index)
        self.owners.close()

    def close(self) -> None:
        """Take everything away."""
        self.detach()
        self.monitor.close()
        self._object.close()
        self.buffer.close()


def _compile(expression: str) -> dict[int, tuple[Sequence[ClassicInstruction], int]]:
    """The filter's classic programs by their place among the programs, each with the program that follows it."""
    if not expression:
        return {}
    ethernet = compile_filter(expression, DLT_ETHERNET)
    compiled: dict[int, tuple[Sequence[ClassicInstruction], int]] = {
        _FILTER_EGRESS: (ethernet, _CAPTURE_EGRESS),
        _FILTER_INGRESS: (ethernet, _CAPTURE_INGRESS),
    }
    # A filter for Ethernet addresses, say, makes no sense without Ethernet: nothing matches there then.
    with suppress(InputError):
        raw = compile_filter(expression, DLT_RAW)
        compiled[_FILTER_EGRESS + _WITHOUT_ETHERNET] = (raw, _CAPTURE_EGRESS)
        compiled[_FILTER_INGRESS + _WITHOUT_ETHERNET] = (raw, _CAPTURE_INGRESS)
    return compiled
