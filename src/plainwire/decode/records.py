"""Records: what enters from below, from the live kernel or from a recording.

Everything above is a pure function of the sequence of records, so a recording read later gives what the live capture
gave. The first record is a Header; Layouts, Clock and facts come before the samples that need them; End is last.
"""

from __future__ import annotations

import msgspec

FORMAT = 1


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Base of all records. Stored as a msgpack array whose first element is the class's tag."""


class Settings(msgspec.Struct, array_like=True, frozen=True):
    """What the user asked for that userspace carries out, so that a recording is cut in the same way."""

    max_events: int | None = None
    userspace_filter: bool = False  # the mode `less52`: pids, uid and comms are filtered above the records
    pids: tuple[int, ...] = ()
    uid: int | None = None
    comms: tuple[str, ...] = ()
    verify_keys: bool = False


class Header(Record, tag="header", frozen=True):
    """Who recorded this, and how."""

    format: int
    plainwire_version: str
    machine: str  # as `uname -m`
    kernel: str  # as `uname -r`
    started_ns: int  # CLOCK_MONOTONIC
    settings: Settings


class Layout(Record, tag="layout", frozen=True):
    """The .BTF section of the object that serves a module: where each field of its events lies."""

    module: str
    btf: bytes


class Clock(Record, tag="clock", frozen=True):
    """The same instant on CLOCK_MONOTONIC and on CLOCK_REALTIME, in ns. Repeated, so that clock steps are followed."""

    monotonic_ns: int
    realtime_ns: int


class LibraryFacts(Record, tag="library", frozen=True):
    """An attached file; `id` is the attach cookie that its events bear."""

    id: int
    module: str
    path: str
    build_id: str | None


class ProcessFacts(Record, tag="process", frozen=True):
    """A process, as it was from `since_ns` (CLOCK_MONOTONIC) on: until the next facts with the same pid."""

    pid: int
    since_ns: int
    comm: str
    exe: str | None
    cmdline: tuple[str, ...] | None
    container: str | None = None
    namespace_pid: int | None = None  # its number in its own pid namespace, where that is another


class Samples(Record, tag="samples", frozen=True):
    """Events as the programs wrote them, in the order of the buffer. Each begins with `kind` (bpf/abi.h)."""

    samples: list[bytes]


class Losses(Record, tag="losses", frozen=True):
    """The loss counters since the start of the capture, by name of enum loss_kind without LOSS_, in lower case."""

    timestamp_ns: int
    counters: dict[str, int]


class InterfaceFacts(Record, tag="interface", frozen=True):
    """An interface on which packets are captured from now on. link_type: LINKTYPE_* of the pcap formats."""

    ifindex: int
    name: str
    link_type: int


class ContainerFacts(Record, tag="container", frozen=True):
    """The container that a process of packets runs in; None: in none, where its number had another process before."""

    pid: int
    container: str | None


class Packets(Record, tag="packets", frozen=True):
    """Samples of the packet buffer, in its order; `timestamp_ns` is when it was read (CLOCK_MONOTONIC).

    Comes without samples too: time has passed, and packets that were held back can be given out.
    """

    timestamp_ns: int
    samples: list[bytes]


class InterfaceCounters(Record, tag="interface_counters", frozen=True):
    """For each interface, by index: packets that were to be captured, and how many of them were lost."""

    timestamp_ns: int
    counters: dict[int, tuple[int, int]]


class End(Record, tag="end", frozen=True):
    """The capture ended in order."""

    timestamp_ns: int


AnyRecord = (
    Header
    | Layout
    | Clock
    | LibraryFacts
    | ProcessFacts
    | Samples
    | Losses
    | InterfaceFacts
    | ContainerFacts
    | Packets
    | InterfaceCounters
    | End
)
