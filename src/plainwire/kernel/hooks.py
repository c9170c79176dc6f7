"""Attaches to places in the kernel: each hook in the first of its ways that the kernel takes, or in the chosen one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainwire.errors import KernelUnsupportedError
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.cgroups import open_root_cgroup
from plainwire.kernel.libbpf import KernelError, check, check_pointer, ffi, lib
from plainwire.kernel.uprobes import LibbpfLink, Link
from plainwire.modules import HookChoice, KernelHook, Way

# Loads the hook's object once more, with these programs alone.
Load = Callable[[Sequence[str]], BpfObject]


@dataclass(frozen=True, slots=True)
class Outcome:
    """way: the one in use; None where the kernel refuses all. refusals: the ways before it, and the kernel's words."""

    hook: KernelHook
    way: Way | None
    refusals: tuple[tuple[Way, str], ...]

    @property
    def reasons(self) -> str:
        """The refusals in one line."""
        return "; ".join(f"{way.family}: {reason}" for way, reason in self.refusals)


class KernelHooks:
    """What is attached to the kernel so far."""

    def __init__(self, choice: HookChoice = "auto") -> None:
        self._choice = choice
        self._links: list[Link] = []
        self._objects: list[BpfObject] = []

    def attach(self, hook: KernelHook, load: Load, loaded: BpfObject | None = None) -> Outcome:
        """Attach a hook. loaded: an object that has some of its programs already.

        Raises KernelUnsupportedError where a chosen way is refused: who chooses one wants no other.
        """
        refusals: list[tuple[Way, str]] = []
        ways = hook.ways_of(self._choice)
        for way in ways:
            try:
                self._use(way, load, loaded)
            except KernelError as error:
                refusals.append((way, str(error)))
            else:
                return Outcome(hook, way, tuple(refusals))
        outcome = Outcome(hook, None, tuple(refusals))
        if len(ways) == 1 and ways[0].family == self._choice:
            raise KernelUnsupportedError(
                f"--hooks {self._choice}: {hook.name} can't be seen so here ({refusals[0][1]}); leave --hooks out, "
                "or choose what `plainwire doctor` shows to work"
            )
        return outcome

    def _use(self, way: Way, load: Load, loaded: BpfObject | None) -> None:
        if way.family == "kprobe" and (reason := why_no_kprobes()):
            raise KernelError(0, reason)
        if loaded and all(loaded.is_loaded(name) for name in way.programs):
            self._links += _attach_all(loaded, way.programs)
            return
        own = load(way.programs)
        try:
            self._links += _attach_all(own, way.programs)
        except BaseException:
            own.close()
            raise
        self._objects.append(own)

    def take_links(self) -> list[Link]:
        """The links, for one who takes many away at once; they are no longer this object's."""
        links, self._links = self._links, []
        return links

    def close(self) -> None:
        """Take everything away."""
        for link in self.take_links():
            link.close()
        for opened in self._objects:
            opened.close()
        self._objects.clear()


def why_no_kprobes() -> str | None:
    """Why the kernel has no kprobes; None if it has."""
    if Path("/sys/bus/event_source/devices/kprobe/type").exists():
        return None
    return "this kernel was built without kprobes (CONFIG_KPROBE_EVENTS)"


def _attach_all(opened: BpfObject, programs: Sequence[str]) -> list[Link]:
    links: list[Link] = []
    try:
        for name in programs:
            links += _attach(opened, name)
    except BaseException:
        for link in links:
            link.close()
        raise
    return links


def _attach(opened: BpfObject, name: str) -> list[Link]:
    program, section = opened.program(name), opened.section(name)
    if section.startswith("iter/"):
        _run_iterator(program, name)
        return []
    if section.startswith(("cgroup/", "cgroup_skb/")):
        root = open_root_cgroup()
        try:
            pointer = lib.bpf_program__attach_cgroup(program, root)
        finally:
            os.close(root)
    else:
        pointer = lib.bpf_program__attach(program)
    return [LibbpfLink(check_pointer(pointer, f"attach to {section}"))]


def _run_iterator(program: Any, name: str) -> None:
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
