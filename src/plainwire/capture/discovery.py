"""Finds the files to attach to: what running and new processes map, and what the loader's cache names.

A file is attached once for all the processes that map it, whatever path they know it by. Whether it is served by a
module is decided by its soname and the functions that it defines, never by its path.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from plainwire.capture.key_attacher import KeyAttacher, KeyPlan
from plainwire.capture.layout_learner import LayoutLearner, OpenFiles
from plainwire.decode.records import LibraryFacts
from plainwire.errors import InputError, PlainwireError
from plainwire.inspect import process
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.loader_cache import cached_libraries
from plainwire.inspect.shell_program import identify_shell, login_shells
from plainwire.inspect.tls_library import identify
from plainwire.kernel.engine import Engine
from plainwire.layouts.gotls import is_go_program, read_go_tls
from plainwire.layouts.library_files import LibraryFiles
from plainwire.layouts.placements import Placements, find_placements
from plainwire.modules import Module

# The function that dynamic linkers call when their list of libraries changes, and glibc's variable that holds it.
_LOADER_FUNCTION = "_dl_debug_state"
_LOADER_VARIABLE = "_r_debug"

FileIdentity = tuple[int, int]  # device and inode, as fstat(2) tells


@dataclass(frozen=True, slots=True)
class Findings:
    """What one file has for the modules, by their names: where programs are attached, and what captures secrets.

    loader_…: the dynamic linker's hook.
    """

    build_id: str | None
    placements: dict[str, Placements]
    keys: dict[str, KeyPlan]
    loader_offset: int | None
    loader_distance: int


class Discovery:
    """Attaches what it is shown, each file once.

    everywhere: probes work in every process that maps a file; else only in the process in which it was found (a
    capture of certain processes alone: others then cost nothing). data: attach what captures plaintext. keys: attach
    what captures secrets. warn: receives one line for what can't be attached.
    """

    def __init__(
        self,
        engine: Engine,
        modules: Iterable[Module],
        learner: LayoutLearner,
        *,
        everywhere: bool,
        data: bool,
        keys: KeyAttacher | None,
        warn: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._learner = learner
        self._modules = tuple(modules)
        self._required = frozenset().union(*(module.required for module in self._modules))
        self._shells = frozenset().union(*(module.implementations for module in self._modules if module.prompt_hooks))
        self._everywhere = everywhere
        self._data = data
        self._keys = keys
        self._warn = warn
        self._mapped: set[tuple[object, ...]] = set()  # as /proc/PID/maps tells them: not opened again
        self._attached: set[tuple[FileIdentity, int]] = set()
        self._loaders: set[FileIdentity] = set()
        self._served: set[tuple[tuple[int, int], int]] = set()  # files with TLS, as /proc/PID/maps tells them
        self._new: list[LibraryFacts] = []
        self._next_id = 1
        self.shell_count = 0  # of the attached files, those that are shells

    def take_new(self) -> list[LibraryFacts]:
        """The files attached since the last call."""
        new, self._new = self._new, []
        return new

    @property
    def count(self) -> int:
        """How many files are attached."""
        return self._next_id - 1

    def attach_cached(self) -> None:
        """Attach what programs will map, before any does: TLS libraries by the loader's cache, and login shells."""
        for library in cached_libraries(lambda soname: "ssl" in soname or "tls" in soname):
            if library.machine == platform.machine():
                with suppress(PlainwireError):
                    self.attach_path(Path(library.path), required=False)
        for shell in login_shells() if self._shells else ():
            with suppress(PlainwireError):
                self.attach_path(shell, required=False)

    def attach_path(self, path: Path, *, required: bool = True, pid: int = 0) -> None:
        """Attach one file. required: InputError if no module can use it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would be waited for
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror}") from None
        try:
            if not self._attach(fd, str(path), pid, lambda: LibraryFiles.at(path)) and required:
                self._refuse(fd, path)
        finally:
            os.close(fd)

    def _refuse(self, fd: int, path: Path) -> NoReturn:
        with ElfFile(fd, name=str(path)) as elf:
            if elf.bits != 64 or elf.machine != platform.machine():
                only = f"only 64-bit {platform.machine()} can be captured here"
                raise InputError(f"{path}: is of {elf.bits}-bit {elf.machine}: {only}")
            if is_go_program(elf):
                read_go_tls(elf)  # raises for a program that can't be captured, and says why
            shell = identify_shell(elf)
            if shell is not None and shell.name not in self._shells:
                raise InputError(f"{path}: commands entered in {shell.name} are captured with --module {shell.name}")
        hooks = [hook.function for module in self._modules for hook in module.go_hooks]
        names = ", ".join(sorted({*self._required, *hooks}))
        raise InputError(f"{path}: defines none of the functions that can be captured ({names})")

    def scan_all(self) -> None:
        """Look at what every running process maps."""
        for pid in process.pids():
            self.scan(pid)

    def scan(self, pid: int) -> None:
        """Look at what one process maps. Nothing happens if it is gone, or not ours to look at."""
        with suppress(PlainwireError):
            for mapped in process.mapped_files(pid):
                identity = (mapped.device, mapped.inode, mapped.path, 0 if self._everywhere else pid)
                if identity in self._mapped:
                    continue
                self._mapped.add(identity)
                with suppress(PlainwireError):
                    fd = process.open_mapped(pid, mapped)
                    try:
                        if self._attach(
                            fd,
                            mapped.path,
                            0 if self._everywhere else pid,
                            functools.partial(LibraryFiles.mapped, pid, mapped),
                        ):
                            self._served.add((mapped.device, mapped.inode))
                    finally:
                        os.close(fd)

    def serves(self, pid: int) -> bool:
        """Whether a process maps a file that was attached. False too if it is gone, or not ours to look at."""
        with suppress(PlainwireError):
            return any((mapped.device, mapped.inode) in self._served for mapped in process.mapped_files(pid))
        return False

    def _attach(self, fd: int, path: str, pid: int, open_files: OpenFiles) -> bool:
        """Whether a module serves this file. open_files: opens it again, and the libraries that it needs."""
        status = os.fstat(fd)
        identity = (status.st_dev, status.st_ino)
        if (identity, pid) in self._attached:
            return True
        with ElfFile(fd, name=path) as elf:
            if elf.bits != 64 or elf.machine != platform.machine():
                self._refuse_foreign(elf, path)
                return False
            through = f"/proc/self/fd/{fd}"  # leads to a deleted file too, and into a container's root
            findings = self._look(elf, identity, open_files, pid)
        if findings.loader_offset is not None and identity not in self._loaders:
            self._loaders.add(identity)
            self._engine.watch_loader(through, findings.loader_offset, findings.loader_distance)
        for module in self._modules:
            placements, keys = findings.placements.get(module.name), findings.keys.get(module.name)
            if keys is not None and keys.lack:
                self._warn(f"{path}: its secrets can't be captured: {keys.lack}")
            if placements is None and (keys is None or not keys.found):
                continue
            self._attached.add((identity, pid))
            try:
                if placements is not None:
                    for lack in self._engine.attach_library(module, through, placements, self._next_id, pid):
                        self._warn(lack)
                if self._keys is not None and keys is not None:
                    self._keys.attach(keys, identity, through, self._next_id, pid)
            except PlainwireError as error:
                self._warn(f"{path} can't be captured: {error}")
                continue
            self._learner.learn(module.name, self._next_id, open_files)
            self._new.append(LibraryFacts(self._next_id, module.name, path, findings.build_id))
            self._next_id += 1
            self.shell_count += bool(module.prompt_hooks)
        return bool(findings.placements) or any(keys.found for keys in findings.keys.values())

    def _look(self, elf: ElfFile, identity: FileIdentity, open_files: OpenFiles, pid: int) -> Findings:
        loader = elf.exported([_LOADER_FUNCTION]).get(_LOADER_FUNCTION)
        variable = elf.exported_variable(_LOADER_VARIABLE) if loader else None
        library = identify(elf)
        shell = identify_shell(elf) if self._shells else None
        names = {library and library.implementation, shell and shell.name}
        placements: dict[str, Placements] = {}
        keys: dict[str, KeyPlan] = {}
        for module in self._modules:
            if self._keys is not None:
                plan = self._keys.plan(elf, identity, module, library, open_files, old_process=pid != 0)
                if plan is not None:
                    keys[module.name] = plan
            if names & module.implementations:
                found = find_placements(module, elf, data=self._data, keys=self._keys is not None)
                if found.placements:
                    placements[module.name] = found
        return Findings(
            build_id=elf.build_id if placements or keys else None,
            placements=placements,
            keys=keys,
            loader_offset=elf.file_offset(loader.address) if loader else None,
            loader_distance=variable.address - loader.address if loader and variable else 0,
        )

    def _refuse_foreign(self, elf: ElfFile, path: str) -> None:
        if elf.exported(self._required):
            self._warn(f"{path} is of {elf.bits}-bit {elf.machine}: only 64-bit {platform.machine()} can be captured")
