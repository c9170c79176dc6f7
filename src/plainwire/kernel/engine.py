"""The kernel side of a capture: the loaded objects, their shared maps and buffers, and what is attached where."""

from __future__ import annotations

import functools
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from plainwire.decode.abi import loss_reasons
from plainwire.decode.btf import Btf
from plainwire.errors import KernelUnsupportedError
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.buffers import EventBuffer
from plainwire.kernel.connections import ConnectionTracker, Told, constants
from plainwire.kernel.features import has_ring_buffer, has_uprobe_multi
from plainwire.kernel.hooks import KernelHooks
from plainwire.kernel.lazy_object import LazyObject, Loading
from plainwire.kernel.object_files import PROCESS_BUFFER_SIZE, PROCESS_OBJECT, SHARED_MAPS, object_btf, object_path
from plainwire.kernel.open_buffer import open_buffer
from plainwire.kernel.packets import PacketCapture, PacketOptions
from plainwire.kernel.record_seeker import SEEKERS_MAP, RecordSeeker
from plainwire.kernel.uprobes import Link, attach_raw_tracepoint, attach_uprobes
from plainwire.layouts.layout import Layout
from plainwire.layouts.packed_layout import pack_layout
from plainwire.layouts.placements import Placements
from plainwire.modules import HookChoice, KernelHook, Module

Transport = Literal["auto", "ring", "perf"]

_PROCESS_TRACEPOINTS = ("sched_process_fork", "sched_process_exec", "sched_process_exit")
# A probe's cookie: the library's number in the lower half, in the upper half the probe's offset in the file.
_COOKIE_HALF = 0xFFFFFFFF

_LAYOUTS_MAP = "library_layouts"
_EXCLUDED_MAP = "excluded_pids"
_PARTS_MAP = "shell_parts"

# enum target_flag of bpf/abi.h
TARGET_PROCESS = 1
TARGET_FOLLOW = 2
TARGET_STOP = 4

_ANY_RETURN_CODE = 128  # bpf/abi/shells.h


@dataclass(frozen=True, slots=True)
class Filters:
    """What the programs let through: the constants and the switches of bpf/filter.bpf.h."""

    pid: int | None = None
    uid: int | None = None
    by_pids: bool = False
    by_comms: bool = False
    in_userspace: bool = False

    def constants(self) -> dict[str, int]:
        """The values of the `const volatile` variables."""
        return {
            "less52": int(self.in_userspace),
            "target_pid": self.pid or 0,
            "target_uid": self.uid or 0,
            "target_root": int(self.uid == 0),
            "filter_pids": int(self.by_pids),
            "filter_comms": int(self.by_comms),
        }


class Engine:
    """Loads what a capture needs; nothing is attached until asked for."""

    def __init__(
        self,
        modules: Iterable[Module],
        filters: Filters,
        transport: Transport,
        buffer_size: int,
        *,
        data: bool = True,
        keys: bool = False,
        hooks: HookChoice = "auto",
        connections: Told = "captured",
        return_code: int | None = None,
        payload: bool = True,
    ) -> None:
        """buffer_size: bytes for the modules' events, a power of two. Raises KernelError where the kernel refuses.

        data: load what captures plaintext. keys: load what captures secrets. hooks: how to attach to the kernel.
        connections: which are told. return_code: of shells' commands, only those that return it. payload: send the
        bytes of calls, not their number alone.
        """
        ring = transport == "ring" or (transport == "auto" and has_ring_buffer())
        self.multi = has_uprobe_multi()
        self.data: EventBuffer = open_buffer(buffer_size, ring=ring)
        self.processes: EventBuffer = open_buffer(PROCESS_BUFFER_SIZE, ring=ring)
        self._links: list[Link] = []
        self._choice = hooks
        self._hooks = KernelHooks(hooks)
        self._filters_processes = not filters.in_userspace and filters != Filters()
        self._return_code = _ANY_RETURN_CODE if return_code is None else return_code
        self._constants = {
            **filters.constants(),
            **constants(connections),
            "use_ring": int(ring),
            "target_errno": self._return_code,
            "lengths_only": int(not payload),
        }
        self._process_object = self._load(PROCESS_OBJECT, self.processes, share=False)
        self._target_pids = self._process_object.map("target_pids")
        self._target_comms = self._process_object.map("target_comms")
        self._loss_counters = self._process_object.map("loss_counters")
        self._connections = ConnectionTracker(self._prepare_tracker, connections, hooks) if data else None
        self._modules: dict[str, LazyObject] = {}
        self._key_objects: dict[str, LazyObject] = {}
        self._hooked: set[tuple[str, KernelHook]] = set()  # modules, and those of their hooks that are dealt with
        self._loading: Loading | None = None
        self._seekers: dict[str, RecordSeeker] = {}
        for module in modules:
            if data or (keys and module.sends_secrets):
                self._modules[module.name] = LazyObject(module.bpf_object, self._load_shared)
            if keys and module.key_object:
                self._key_objects[module.name] = LazyObject(module.key_object, self._load_shared)
        self._loss_names = loss_reasons(Btf(object_btf(self._process_object.path)))

    def _load(self, name: str, buffer: EventBuffer, *, share: bool) -> BpfObject:
        opened = self._open(name, buffer, share=share)
        opened.load()
        return opened

    def _load_shared(self, name: str) -> BpfObject:
        return self._load(name, self.data, share=True)

    def _load_programs(self, loaded: BpfObject, programs: Sequence[str]) -> BpfObject:
        """Some programs of a module's object once more, which share its maps."""
        opened = self._open(loaded.name, self.data, share=True)
        opened.share_maps_of(loaded)
        return opened.load_only(*programs)

    def _open(self, name: str, buffer: EventBuffer, *, share: bool) -> BpfObject:
        opened = BpfObject(name)
        self._prepare(opened, buffer)
        if share:
            self._share_filters(opened)
            for shared, tracked in (self._connections.maps if self._connections else {}).items():
                opened.share_map(shared, tracked)
        if self.multi:
            opened.use_uprobe_multi()
        return opened

    def _prepare(self, opened: BpfObject, buffer: EventBuffer) -> None:
        opened.set_constants(self._constants)
        opened.share_event_buffer(buffer.fd, ring=buffer.is_ring)

    def _share_filters(self, opened: BpfObject) -> None:
        for shared in SHARED_MAPS:
            opened.share_map(shared, self._process_object.map(shared))

    def _prepare_tracker(self, opened: BpfObject) -> None:
        self._prepare(opened, self.data)
        self._share_filters(opened)

    def process_layout(self) -> bytes:
        """The BTF of the process events."""
        return object_btf(self._process_object.path)

    def layouts(self) -> list[tuple[str, bytes]]:
        """Modules by name, with the BTF of events that they send."""
        return [
            (module, object_btf(object_path(each.name)))
            for module, each in (*self._modules.items(), *self._key_objects.items())
        ]

    def load_rest(self) -> None:
        """Load, beside the capture, the objects that no file has needed yet: the first that does is not to wait."""
        self._loading = Loading((*self._modules.values(), *self._key_objects.values()))

    def capture_packets(self, options: PacketOptions, buffer_size: int) -> PacketCapture:
        """Load what captures packets, with the filters for processes of this engine; nothing is attached yet.

        buffer_size: bytes for packets, a power of two.
        """
        return PacketCapture(
            options,
            constants=self._constants,
            shared_maps={name: self._process_object.map(name) for name in SHARED_MAPS},
            filter_processes=self._filters_processes,
            buffer_size=buffer_size,
            ring=self.data.is_ring,
            hooks=self._choice,
        )

    def follow_connections(self) -> list[str]:
        """From now on, openings and ends of connections are told. Returns a line for each thing that can't be seen."""
        outcomes = self._connections.attach() if self._connections else []
        return [
            f"{outcome.hook.name}: can't be seen here ({outcome.reasons}): {outcome.hook.without}"
            for outcome in outcomes
            if outcome.way is None and outcome.hook.without
        ]

    def watch_processes(self) -> None:
        """From now on, process events come."""
        for tracepoint in _PROCESS_TRACEPOINTS:
            program = self._process_object.program(tracepoint.removeprefix("sched_"))
            self._links.append(attach_raw_tracepoint(program, tracepoint))

    def watch_loader(self, path: str, offset: int, distance_to_r_debug: int) -> None:
        """Be told when a process that uses this dynamic linker has loaded libraries.

        offset: where in the file _dl_debug_state is. distance_to_r_debug: from there to the variable _r_debug; 0 if
        the linker has none.
        """
        self._links += attach_uprobes(
            self._process_object.program("probe__dl_debug_state"),
            path,
            [offset],
            cookies=[distance_to_r_debug],
            at_return=False,
            pid=0,
            multi=self.multi,
        )

    def prepare(self, module: Module) -> list[str]:
        """Load a module's object and attach what it needs once, not in each library, unless that has been done.

        Returns a line for each hook that it must go without. Raises KernelError where the kernel refuses the object,
        KernelUnsupportedError for a hook that it can't go without, or whose chosen way is refused.
        """
        lacking: list[str] = []
        if module.name not in self._modules:
            return lacking
        loaded = self._modules[module.name].get()
        for hook in module.kernel_hooks:
            if (module.name, hook) in self._hooked:
                continue
            outcome = self._hooks.attach(hook, lambda programs: self._load_programs(loaded, programs), loaded)
            if outcome.way is None:
                message = f"{hook.name} can't be seen here ({outcome.reasons})"
                if hook.without is None:
                    raise KernelUnsupportedError(message)
                lacking.append(f"{message}: {hook.without}")
            self._hooked.add((module.name, hook))
        return lacking

    def attach_library(
        self, module: Module, path: str, found: Placements, library: int, pid: int, *, keys: bool = False
    ) -> list[str]:
        """Attach a module's programs in one file, which is `library` in its events.

        pid: in one process alone, or 0 for every one. keys: the programs are those of the module's key_object.
        Without it `prepare` comes first, whose lines are returned.
        """
        lacking = [] if keys else self.prepare(module)
        loaded = (self._key_objects if keys else self._modules)[module.name].get()
        for name, value in found.layouts:
            loaded.map(name).update(struct.pack("=I", library), value)
        groups: dict[tuple[str, bool], set[int]] = defaultdict(set)
        # Returns first: an entry without its return would be counted as under way.
        for one in sorted(found.placements, key=lambda one: not one.at_return):
            groups[one.program, one.at_return].add(one.offset)
        for (program, at_return), offsets in groups.items():
            places = sorted(offsets)
            self._links += attach_uprobes(
                loaded.program(program),
                path,
                places,
                cookies=[(offset & _COOKIE_HALF) << 32 | library for offset in places],
                at_return=at_return,
                pid=pid,
                multi=self.multi,
            )
        return lacking

    def record_seekers(self) -> list[RecordSeeker]:
        """What finds connections by their records, of each module that is loaded and can."""
        for name, each in self._modules.items():
            if name not in self._seekers and each.is_loaded and each.get().has_map(SEEKERS_MAP):
                loaded = each.get()
                load = functools.partial(self._load_programs, loaded)
                self._seekers[name] = RecordSeeker(loaded, load, multi=self.multi)
        return list(self._seekers.values())

    def uses_layouts(self, module: str) -> bool:
        """Whether a module's programs read values out of the library's structures."""
        loaded = self._modules.get(module)  # absent where keys alone are captured
        return loaded is not None and loaded.get().has_map(_LAYOUTS_MAP)

    def set_layout(self, module: str, cookie: int, layout: Layout) -> None:
        """Tell where values stand in the structures of an attached file."""
        self._modules[module].get().map(_LAYOUTS_MAP).update(struct.pack("=I", cookie), pack_layout(layout))

    def unfinished_commands(self) -> list[bytes]:
        """Samples of the commands that run in shells now, part by part; none where return codes choose: it has none."""
        loaded = [each.get() for each in self._modules.values() if each.is_loaded]
        maps = [
            opened.map(_PARTS_MAP)
            for opened in loaded
            if opened.has_map(_PARTS_MAP) and self._return_code == _ANY_RETURN_CODE
        ]
        parts = {struct.unpack("=II", key): table.lookup(key) for table in maps for key in list(table.keys())}
        return [sample for _, sample in sorted(parts.items()) if sample is not None]

    def add_target(self, pid: int, flags: int) -> None:
        """Capture this process too. flags: TARGET_*."""
        self._target_pids.update(struct.pack("=I", pid), struct.pack("=I", flags))

    def remove_target(self, pid: int) -> None:
        """Capture this process no longer."""
        self._target_pids.delete(struct.pack("=I", pid))

    @contextmanager
    def leaving_out(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that takes pids, whose secrets are left out until the end of the block."""
        pids: list[bytes] = []
        loaded = [each.get() for each in self._key_objects.values()]
        maps = [each.map(_EXCLUDED_MAP) for each in loaded if each.has_map(_EXCLUDED_MAP)]

        def leave_out(pid: int) -> None:
            pids.append(struct.pack("=I", pid))
            for excluded in maps:
                excluded.update(pids[-1], b"\1")

        try:
            yield leave_out
        finally:
            for excluded in maps:
                for pid in pids:
                    excluded.delete(pid)

    def add_comm(self, comm: str) -> None:
        """Capture the processes of this name too; the kernel keeps 15 bytes of a name."""
        self._target_comms.update(comm.encode()[:15].ljust(16, b"\0"), b"\1")

    def losses(self) -> dict[str, int]:
        """The loss counters up to now, by name."""
        counters = {name: self._loss_counters.per_cpu_sum(index) for index, name in enumerate(self._loss_names)}
        return {name: count for name, count in counters.items() if count}

    def detach(self) -> None:
        """Take every probe away. In parallel, since the kernel waits a grace period for each."""
        self._links += self._hooks.take_links()
        if self._links:
            with ThreadPoolExecutor(max_workers=32) as pool:
                list(pool.map(lambda link: link.close(), self._links))
            self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        if self._loading is not None:
            self._loading.stop()
        self.detach()
        self._hooks.close()
        if self._connections:
            self._connections.close()
        for each in (*self._modules.values(), *self._key_objects.values()):
            each.close()
        self._process_object.close()
        self.data.close()
        self.processes.close()
