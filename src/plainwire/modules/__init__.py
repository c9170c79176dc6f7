"""What plainwire can capture, as data: one file per module, found by itself.

A module file defines MODULE. Nothing else names it: commands, discovery, decoding and tests go through `all_modules`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Hook:
    """A function of the library, and the programs that run at its entry and at its return."""

    function: str
    entry: str
    on_return: str | None = None


@dataclass(frozen=True, slots=True)
class GoHook:
    """A function of Go programs, and the program that runs behind its stack check (its body), or at its RETs.

    register, stack: for the two calling conventions; None: that one does without. gives: what it is attached for.
    """

    function: str
    at: Literal["body", "returns"]
    register: str
    stack: str | None = None
    gives: Literal["data", "keys"] = "data"


@dataclass(frozen=True, slots=True)
class PromptHook:
    """A program that runs where a shell asks for a command line ("call"), or where it has got one ("line")."""

    at: Literal["call", "line"]
    program: str


HookFamily = Literal["tracepoint", "kprobe", "fentry", "cgroup", "iterator"]
# What `--hooks` says: the first way that the kernel accepts, or those of one family alone.
HookChoice = Literal["auto", "tracepoint", "kprobe", "fentry"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to have programs run at a place in the kernel; they only make sense together.

    The programs' sections in the eBPF object name the places, as in `kprobe/tcp_sendmsg`.
    """

    family: HookFamily
    programs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KernelHook:
    """What programs listen for in the kernel: the first of the ways that the kernel accepts is used.

    A program that not every kernel loads stands in a section that begins with `?`, and is loaded when its turn comes.
    without: what the user has to do without it; None: nothing can be captured without.
    """

    name: str
    ways: tuple[Way, ...]
    without: str | None = None

    def ways_of(self, choice: HookChoice) -> tuple[Way, ...]:
        """The ways to try. A hook that has none of the chosen family keeps its own: there is nothing to choose."""
        return tuple(way for way in self.ways if way.family == choice) or self.ways


@dataclass(frozen=True, slots=True)
class Module:
    """One module.

    bpf_object: bpf/NAME.bpf.c. key_object: the object that sends the secrets of connections, if it is one of its own;
    loaded when keys are wanted. implementations: the TLS implementations that it serves, by the names of
    plainwire.inspect.tls_library, or the shells, by those of plainwire.inspect.shell_program. hooks: of functions with
    a C interface, found by symbols; required: those of which a file must define at least one to be attached. go_hooks:
    instead, for Go programs; prompt_hooks: instead, for shells. key_hooks: programs of key_object that read secrets
    from the library's structures. shared_objects: are loaded once and serve every module; their maps are told with
    this one's. on_request: used only where it is asked for by name.
    """

    name: str
    purpose: str
    bpf_object: str
    implementations: frozenset[str]
    hooks: tuple[Hook, ...] = ()
    required: frozenset[str] = frozenset()
    go_hooks: tuple[GoHook, ...] = ()
    prompt_hooks: tuple[PromptHook, ...] = ()
    kernel_hooks: tuple[KernelHook, ...] = ()
    key_object: str | None = None
    key_hooks: tuple[Hook, ...] = ()
    shared_objects: tuple[str, ...] = ()
    on_request: bool = False

    @property
    def sends_secrets(self) -> bool:
        """Whether the object that sends plaintext sends the secrets too."""
        return any(hook.gives == "keys" for hook in self.go_hooks)

    @property
    def objects(self) -> tuple[str, ...]:
        """Every eBPF object of the module."""
        keys = () if self.key_object is None else (self.key_object,)
        return (self.bpf_object, *keys, *self.shared_objects)


@functools.cache
def all_modules() -> dict[str, Module]:
    """Every module by name."""
    found: dict[str, Module] = {}
    for info in pkgutil.iter_modules(__path__):
        module: Module = importlib.import_module(f"{__name__}.{info.name}").MODULE
        found[module.name] = module
    return found
