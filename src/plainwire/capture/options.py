"""What a capture is to do, as the command line and the Python API say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypedDict, Unpack

from plainwire.decode.records import Settings
from plainwire.modules import HookChoice

DEFAULT_BUFFER_SIZE = 64 << 20
DEFAULT_SNAPLEN = 262144


Transport = Literal["auto", "ring", "perf"]
Told = Literal["none", "captured", "all"]
KeysBy = Literal["auto", "log", "structure"]


class OptionFields(TypedDict, total=False):
    """The fields of CaptureOptions as keyword arguments, which take any iterable."""

    pids: Iterable[int]
    follow: bool
    uid: int | None
    comms: Iterable[str]
    libraries: Iterable[Path]
    modules: Iterable[str]
    command: Iterable[str]
    transport: Transport
    hooks: HookChoice
    connections: Told
    buffer_size: int
    duration: float | None
    max_events: int | None
    userspace_filter: bool
    data: bool
    payload: bool
    keys_by: KeysBy | None
    verify_keys: bool
    return_code: int | None
    interfaces: Iterable[str]
    packet_filter: str
    snaplen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """Filters of different kinds must all match; of one kind, any.

    pids: these processes; follow: and the ones that they start from now on. uid: processes of this user.
    comms: processes of these names. libraries: only these files, whatever they are called. modules: names as
    `plainwire maps` shows them; () means all but those of shells. command: start it, and capture it and what it starts.
    hooks: how to attach to places in the kernel that there are several ways for; "auto": the first that it accepts.
    buffer_size: bytes between kernel and userspace, a power of two. duration: seconds.
    data: capture what is read and written; payload: the bytes too, not their number alone.
    keys_by: capture the secrets of connections, by the library's own function for key logs, by the structures that
    hold them, or by what is better ("auto"). verify_keys: by both, and give only those that agree; a secret that only
    one way has given comes at the end.
    return_code: of the commands entered in shells, only those that returned this; None or 128: all.
    interfaces: capture packets on these too; "any" is all. packet_filter: only those that match, in the syntax of
    pcap-filter(7). snaplen: bytes of each packet.
    connections: which connections have events of their own: those that carry captured data, all TCP connections of the
    processes, or none.
    userspace_filter: let the kernel send everything and filter here (the reference's mode for kernels before 5.2).
    """

    pids: tuple[int, ...] = ()
    follow: bool = False
    uid: int | None = None
    comms: tuple[str, ...] = ()
    libraries: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    transport: Transport = "auto"
    hooks: HookChoice = "auto"
    connections: Told = "captured"
    buffer_size: int = DEFAULT_BUFFER_SIZE
    duration: float | None = None
    max_events: int | None = None
    userspace_filter: bool = False
    data: bool = True
    payload: bool = True
    keys_by: KeysBy | None = None
    verify_keys: bool = False
    return_code: int | None = None
    interfaces: tuple[str, ...] = ()
    packet_filter: str = ""
    snaplen: int = DEFAULT_SNAPLEN

    @classmethod
    def of(cls, **fields: Unpack[OptionFields]) -> Self:
        """From keyword arguments; lists do for the tuples."""
        return cls(
            **{  # type: ignore[arg-type]
                name: tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
                for name, value in fields.items()
            }
        )

    def settings(self) -> Settings:
        """The part that is carried out above the records."""
        return Settings(
            max_events=self.max_events,
            userspace_filter=self.userspace_filter,
            pids=self.pids,
            uid=self.uid,
            comms=self.comms,
            verify_keys=self.verify_keys,
        )
