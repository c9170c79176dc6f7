"""Opens a built eBPF object, sets its constants and the transport of its events, and loads it into the kernel."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plainwire.errors import PlainwireError
from plainwire.kernel.libbpf import KernelError, check, check_pointer, ffi, lib, take_messages
from plainwire.kernel.maps import BpfMap
from plainwire.kernel.object_files import object_path
from plainwire.kernel.syscalls import BPF_TRACE_UPROBE_MULTI

_BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4
_BPF_MAP_TYPE_RINGBUF = 27


class BpfObject:
    """One object file, opened; `load()` verifies and loads its programs."""

    def __init__(self, name: str, path: Path | None = None) -> None:
        """name: of a built object, or of the one at `path`."""
        self.name = name
        self.path = path or object_path(name)
        image = self.path.read_bytes()
        self._object = check_pointer(
            lib.bpf_object__open_mem(image, len(image), ffi.NULL), f"open the eBPF object {self.path}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unload the programs and maps that nothing else holds."""
        if self._object is not None:
            lib.bpf_object__close(self._object)
            self._object = None

    def set_constants(self, constants: Mapping[str, int]) -> None:
        """Set `const volatile` variables before the load; a name that the object lacks is skipped."""
        size = ffi.new("size_t *")
        section = lib.bpf_object__find_map_by_name(self._object, b".rodata")
        if section == ffi.NULL:
            return
        memory = ffi.buffer(lib.bpf_map__initial_value(section, size), size[0])
        btf = lib.bpf_object__btf(self._object)
        section_type = lib.btf__type_by_id(btf, check(lib.btf__find_by_name(btf, b".rodata"), "find .rodata"))
        variables = ffi.cast("struct btf_var_secinfo *", section_type + 1)
        for index in range(section_type.info & 0xFFFF):
            variable = variables[index]
            name_offset = lib.btf__type_by_id(btf, variable.type).name_off
            name = ffi.string(lib.btf__name_by_offset(btf, name_offset)).decode()
            if name in constants:
                start, width = variable.offset, variable.size
                memory[start : start + width] = constants[name].to_bytes(width, sys.byteorder)

    def share_event_buffer(self, fd: int, *, ring: bool) -> None:
        """Let every event map of this object be the one buffer `fd`: a ring buffer, or a perf array."""
        for event_map in self._all_maps():
            if lib.bpf_map__type(event_map) != _BPF_MAP_TYPE_PERF_EVENT_ARRAY:
                continue
            if ring:
                check(lib.bpf_map__set_type(event_map, _BPF_MAP_TYPE_RINGBUF), "turn an event map into a ring")
                lib.bpf_map__set_key_size(event_map, 0)
                lib.bpf_map__set_value_size(event_map, 0)
            check(lib.bpf_map__reuse_fd(event_map, fd), "share an event buffer")

    def share_map(self, name: str, other: BpfMap) -> None:
        """Let the map `name`, where this object has it, be the same as `other`."""
        own = lib.bpf_object__find_map_by_name(self._object, name.encode())
        if own != ffi.NULL:
            check(lib.bpf_map__reuse_fd(own, other.fd), f"share the map {name}")

    def share_maps_of(self, other: BpfObject) -> None:
        """Let every map that `other`, which is loaded, has too be the same, constants and variables apart."""
        for own in self._all_maps():
            name = ffi.string(lib.bpf_map__name(own)).decode()
            if "." not in name and other.has_map(name):
                self.share_map(name, other.map(name))

    def use_uprobe_multi(self) -> None:
        """Load the uprobe programs for uprobe_multi links instead of one perf event for each probe."""
        program = lib.bpf_object__next_program(self._object, ffi.NULL)
        while program != ffi.NULL:
            if ffi.string(lib.bpf_program__section_name(program)) in (b"uprobe", b"uretprobe"):
                lib.bpf_program__set_expected_attach_type(program, BPF_TRACE_UPROBE_MULTI)
            program = lib.bpf_object__next_program(self._object, program)

    def choose_programs(self, names: Collection[str]) -> None:
        """Let `load` load these programs and no others."""
        wanted = [self.program(name) for name in names]
        program = lib.bpf_object__next_program(self._object, ffi.NULL)
        while program != ffi.NULL:
            lib.bpf_program__set_autoload(program, program in wanted)
            program = lib.bpf_object__next_program(self._object, program)

    def load_only(self, *names: str) -> Self:
        """Load these programs and no others; itself, for one who has just made it. Closed if the kernel refuses."""
        try:
            self.choose_programs(names)
            self.load()
        except BaseException:
            self.close()
            raise
        return self

    def load(self) -> None:
        """Load it. A refused program gives an error that carries the verifier's useful lines."""
        take_messages()
        result = lib.bpf_object__load(self._object)
        if result == 0:
            return
        messages = take_messages()
        if result in (-errno.EPERM, -errno.EACCES) and "BEGIN PROG LOAD LOG" not in messages:
            check(result, f"load the eBPF object {self.name}")
        # The verifier says EACCES too, of a program that it finds unsafe.
        reason = verifier_lines(messages)
        raise KernelError(-result, f"the kernel refuses a program of {self.name} ({os.strerror(-result)}): {reason}")

    def has_map(self, name: str) -> bool:
        """Whether the object has a map of that name."""
        return bool(lib.bpf_object__find_map_by_name(self._object, name.encode()) != ffi.NULL)

    def map(self, name: str) -> BpfMap:
        """A map of the loaded object."""
        pointer = lib.bpf_object__find_map_by_name(self._object, name.encode())
        if pointer == ffi.NULL:
            raise PlainwireError(f"the eBPF object {self.name} has no map {name}; `make build` rebuilds it")
        return BpfMap(name, lib.bpf_map__fd(pointer), lib.bpf_map__key_size(pointer), lib.bpf_map__value_size(pointer))

    def program(self, name: str) -> Any:
        """libbpf's handle of a program."""
        pointer = lib.bpf_object__find_program_by_name(self._object, name.encode())
        if pointer == ffi.NULL:
            raise PlainwireError(f"the eBPF object {self.name} has no program {name}; `make build` rebuilds it")
        return pointer

    def is_loaded(self, name: str) -> bool:
        """Whether the program is in the kernel."""
        return bool(lib.bpf_program__fd(self.program(name)) >= 0)

    def section(self, name: str) -> str:
        """The program's section, which says what it is attached to, as in `kprobe/tcp_sendmsg`."""
        return str(ffi.string(lib.bpf_program__section_name(self.program(name))).decode()).removeprefix("?")

    def _all_maps(self) -> list[Any]:
        found = []
        current = lib.bpf_object__next_map(self._object, ffi.NULL)
        while current != ffi.NULL:
            found.append(current)
            current = lib.bpf_object__next_map(self._object, current)
        return found


def verifier_lines(messages: str) -> str:
    """Of libbpf's messages, the lines that say why: the program's name and the verifier's last words."""
    program = re.search(r"prog '([^']+)': BPF program load failed: (.*)", messages)
    log = re.search(r"BEGIN PROG LOAD LOG --\n(.*?)-- END PROG LOAD LOG", messages, re.DOTALL)
    if not program or not log:
        # The last line names the object only, by a number.
        lines = [line for line in messages.splitlines() if line and "failed to load object" not in line]
        return lines[-1].removeprefix("libbpf: ") if lines else "no reason given"
    # Instructions and register states lead up to the reason; the reason itself starts with neither.
    reasons = [
        line
        for line in log[1].splitlines()
        if line and not re.match(r"(\d+:|;|processed |R\d+(_\w+)?=|from |func#|verification time|stack depth|\s)", line)
    ]
    return f"{program[1]}: {' / '.join(reasons[-2:]) or program[2]}"
