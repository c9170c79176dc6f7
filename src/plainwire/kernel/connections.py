"""Attaches the programs that follow TCP connections from their opening to their end: bpf/connections.bpf.c."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.hooks import KernelHooks, Outcome
from plainwire.kernel.maps import BpfMap
from plainwire.kernel.object_files import CONNECTION_MAPS, CONNECTION_OBJECT
from plainwire.modules import HookChoice, KernelHook, Way

# Which connections are told: none, those that carry captured data, or all of the captured processes.
Told = Literal["none", "captured", "all"]
_TOLD: Final = {"none": 0, "captured": 1, "all": 2}  # enum connections_told

_STATE: Final = KernelHook(
    "state of connections",
    (Way("tracepoint", ("connection_state",)),),
    without="when connections were opened is not known",
)
_END: Final = KernelHook(
    "end of connections",
    (
        Way("fentry", ("enter_tcp_v4_destroy_sock",)),
        Way("kprobe", ("probe_tcp_v4_destroy_sock",)),
        Way("tracepoint", ("connection_destroyed",)),
    ),
    without="when connections were closed is not known",
)
# A return probe is held as long as the function takes, and there are only few: where many threads wait in accept(),
# some go unseen. So fentry comes before kprobe.
_CALLS: Final = (
    Way(
        "fentry",
        (
            "exit_connect",
            "enter_inet_stream_connect",
            "enter_connect",
            "exit_accept4",
            "exit_inet_csk_accept",
            "enter_accept4",
        ),
    ),
    Way(
        "kprobe",
        (
            "retprobe_connect",
            "probe_inet_stream_connect",
            "probe_connect",
            "retprobe_accept4",
            "retprobe_inet_csk_accept",
            "probe_accept4",
        ),
    ),
)
_FIRST_USE: Final = Way("tracepoint", ("connection_sent", "connection_received"))
_WHO: Final = "process that opens or accepts a connection"
CONNECTION_HOOKS: Final = (
    _STATE,
    _END,
    KernelHook(_WHO, (*_CALLS, _FIRST_USE), without="--connections all does not tell accepted connections"),
    KernelHook(
        "connections older than the capture",
        (Way("iterator", ("connection_found",)),),
        without="--connections all does not tell them",
    ),
)


def connection_hooks(told: Told, choice: HookChoice) -> tuple[KernelHook, ...]:
    """What to attach. Who uses a connection that carries captured data is known: nothing is spent on first uses."""
    if told == "none":
        return ()
    if told == "all":
        return CONNECTION_HOOKS
    ways = tuple(way for way in _CALLS if choice in ("auto", way.family))
    return (_STATE, _END, KernelHook(_WHO, ways, without="")) if ways else (_STATE, _END)


class ConnectionTracker:
    """Loaded when made, and attached by `attach`."""

    def __init__(self, prepare: Callable[[BpfObject], None], told: Told, choice: HookChoice) -> None:
        """prepare: sets constants, buffer and shared maps of an object before it is loaded."""
        self._prepare = prepare
        self._wanted = connection_hooks(told, choice)
        self._hooks = KernelHooks(choice)
        self._maps = BpfObject(CONNECTION_OBJECT)
        prepare(self._maps)
        self._maps.load_only()

    @property
    def maps(self) -> dict[str, BpfMap]:
        """What the objects of modules share."""
        return {name: self._maps.map(name) for name in CONNECTION_MAPS}

    def attach(self) -> list[Outcome]:
        """Follow connections from now on. Raises KernelUnsupportedError where the chosen way is refused."""
        return [self._hooks.attach(hook, self._load) for hook in self._wanted]

    def _load(self, programs: Sequence[str]) -> BpfObject:
        opened = BpfObject(CONNECTION_OBJECT)
        self._prepare(opened)
        opened.share_maps_of(self._maps)
        return opened.load_only(*programs)

    def close(self) -> None:
        """Take everything away."""
        self._hooks.close()
        self._maps.close()


def constants(told: Told) -> dict[str, int]:
    """The values of the `const volatile` variables in bpf/connections.bpf.h."""
    return {"connections_told": _TOLD[told]}
