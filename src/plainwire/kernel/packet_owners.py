"""Attaches the programs that note which process uses which socket: the best ways that the kernel takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.hooks import KernelHooks
from plainwire.modules import HookChoice, KernelHook, Way

# Through which processes send and receive on their sockets (net/ipv4, net/ipv6).
_FUNCTIONS: Final = ("tcp_sendmsg", "tcp_recvmsg", "udp_sendmsg", "udp_recvmsg", "udpv6_sendmsg", "udpv6_recvmsg")

OWNER_OBJECT: Final = "packet_owners"
OWNER_HOOKS: Final = (
    KernelHook(
        "process that makes a socket",
        (Way("cgroup", ("socket_created",)),),
        without="the first packet of a connection has no process until the connection is used",
    ),
    KernelHook(
        "process that uses a socket",
        (
            Way("tracepoint", ("socket_sent", "socket_received")),
            Way("fentry", tuple(f"enter_{function}" for function in _FUNCTIONS)),
            Way("kprobe", tuple(f"probe_{function}" for function in _FUNCTIONS)),
        ),
        without="a socket's packets are of the process that made it, whoever uses it",
    ),
    KernelHook(
        "sockets older than the capture",
        (Way("iterator", ("socket_found",)),),
        without="packets of sockets that were there before the capture have no process until they are used",
    ),
)


class PacketOwners:
    """What could be attached: `outcomes` says in which ways."""

    def __init__(
        self,
        prepare: Callable[[BpfObject], None],
        choice: HookChoice = "auto",
        *,
        hooks: Iterable[KernelHook] = OWNER_HOOKS,
    ) -> None:
        """prepare: sets constants, buffer and shared maps of an object before it is loaded."""
        self._prepare = prepare
        self._hooks = KernelHooks(choice)
        try:
            self.outcomes = [self._hooks.attach(hook, self._load) for hook in hooks]
        except BaseException:
            self.close()
            raise

    def _load(self, programs: Sequence[str]) -> BpfObject:
        opened = BpfObject(OWNER_OBJECT)
        self._prepare(opened)
        return opened.load_only(*programs)

    def close(self) -> None:
        """Take everything away."""
        self._hooks.close()
