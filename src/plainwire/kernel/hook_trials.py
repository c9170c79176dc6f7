"""Every way to hook the kernel, tried with the very programs of a capture: the second part of `plainwire doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.connections import CONNECTION_HOOKS
from plainwire.kernel.hooks import KernelHooks
from plainwire.kernel.libbpf import KernelError
from plainwire.kernel.object_files import CONNECTION_OBJECT, PACKET_MODULE
from plainwire.kernel.packet_owners import OWNER_HOOKS, OWNER_OBJECT
from plainwire.kernel.record_seeker import RECORD_HOOK
from plainwire.modules import KernelHook, Way, all_modules


@dataclass(frozen=True, slots=True)
class Ladder:
    """A hook, and the module and the eBPF object that its programs are of."""

    module: str
    bpf_object: str
    hook: KernelHook


@dataclass(frozen=True, slots=True)
class WayResult:
    """places: as the programs' sections name them. used: a capture takes this one. reason: unless it works."""

    way: Way
    places: tuple[str, ...]
    status: Literal["works", "refused"]
    used: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class HookResult:
    """The ways of one hook, in the order in which a capture tries them."""

    ladder: Ladder
    ways: tuple[WayResult, ...]


def ladders() -> list[Ladder]:
    """Every hook that a capture may attach."""
    found = [
        Ladder(module.name, module.bpf_object, hook)
        for module in all_modules().values()
        for hook in module.kernel_hooks
    ]
    found.append(Ladder("openssl", "openssl", RECORD_HOOK))
    found += [Ladder(CONNECTION_OBJECT, CONNECTION_OBJECT, hook) for hook in CONNECTION_HOOKS]
    return [*found, *(Ladder(PACKET_MODULE, OWNER_OBJECT, hook) for hook in OWNER_HOOKS)]


def try_ladder(ladder: Ladder) -> HookResult:
    """Load and attach each way for a moment. Never raises for what the kernel says."""
    results: list[WayResult] = []
    for way in ladder.hook.ways:
        reason = _try_way(ladder, way)
        used = reason is None and not any(result.used for result in results)
        results.append(WayResult(way, _places(ladder, way), "works" if reason is None else "refused", used, reason))
    return HookResult(ladder, tuple(results))


def _try_way(ladder: Ladder, way: Way) -> str | None:
    def load(programs: Sequence[str]) -> BpfObject:
        return BpfObject(ladder.bpf_object).load_only(*programs)

    hooks = KernelHooks()
    try:
        outcome = hooks.attach(KernelHook(ladder.hook.name, (way,)), load)
    except KernelError as error:
        return str(error)
    finally:
        hooks.close()
    return outcome.refusals[0][1] if outcome.refusals else None


def _places(ladder: Ladder, way: Way) -> tuple[str, ...]:
    with BpfObject(ladder.bpf_object) as opened:
        return tuple(opened.section(name) for name in way.programs)
