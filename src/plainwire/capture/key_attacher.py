"""Attaches what captures secrets: by the library's own function for key logs, or by the structures of its connections.

The function comes first: it costs nothing after the handshake. The structures are read for connections whose handshake
was missed, since their process was there before the capture, and where there is no such function.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from plainwire.capture.key_finder import FileIdentity, KeyFinder
from plainwire.capture.layout_learner import OpenFiles
from plainwire.capture.options import KeysBy
from plainwire.errors import PlainwireError
from plainwire.inspect import process
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.tls_library import TlsLibrary
from plainwire.kernel.engine import Engine
from plainwire.layouts.library_files import LibraryFiles
from plainwire.layouts.placements import Placements
from plainwire.modules import Module


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What can be attached in one file for one module. lack: why nothing can, in words."""

    module: Module
    library: TlsLibrary | None
    found: tuple[Placements, ...]
    structure: bool  # whether the structures are among what was found
    lack: str | None


class KeyAttacher:
    """by: the way that the user chose. both: every way that there is, so that they can be compared."""

    def __init__(self, engine: Engine, finder: KeyFinder, by: KeysBy, *, both: bool = False) -> None:
        self._engine = engine
        self._finder = finder
        self._by = by
        self._both = both
        # Files whose structures may yet be read, in the processes that mapped them before the capture, and their ids.
        self._files: dict[FileIdentity, tuple[KeyPlan, int]] = {}

    def plan(
        self,
        elf: ElfFile,
        identity: FileIdentity,
        module: Module,
        library: TlsLibrary | None,
        open_files: OpenFiles,
        *,
        old_process: bool,
    ) -> KeyPlan | None:
        """What to attach; None where the file is not the module's. old_process: it may have connections already."""
        function = structure = None
        if self._by != "structure" or self._both:
            function = self._finder.function(elf, identity, module, library)
        if (
            self._by == "structure"
            or self._both
            or (self._by == "auto" and (old_process or not isinstance(function, Placements)))
        ):
            structure = self._finder.structure(elf, identity, module, library, open_files)
        if function is None and structure is None:
            return None
        found = tuple(one for one in (function, structure) if isinstance(one, Placements))
        lack = None if found else "; ".join(one for one in (function, structure) if isinstance(one, str))
        return KeyPlan(module, library, found, isinstance(structure, Placements), lack)

    def attach(self, plan: KeyPlan, identity: FileIdentity, through: str, library: int, pid: int) -> None:
        """Attach it. library, pid: as in Engine.attach_library."""
        for found in plan.found:
            self._engine.attach_library(plan.module, through, found, library, pid, keys=True)
        if self._by == "auto" and not plan.structure and pid == 0:
            self._files[identity] = plan, library

    def attach_old_processes(self, pids: Iterable[int]) -> None:
        """Read the structures of these processes' connections too, whose handshakes were before the capture."""
        inodes = {inode for _, inode in self._files}
        for pid in pids if inodes else ():
            with suppress(PlainwireError):
                for mapped in process.mapped_files(pid):
                    if mapped.inode in inodes:
                        self._attach_old(pid, mapped)

    def _attach_old(self, pid: int, mapped: process.MappedFile) -> None:
        fd = process.open_mapped(pid, mapped)
        try:
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            if identity not in self._files:
                return
            plan, library = self._files[identity]
            through = f"/proc/self/fd/{fd}"
            with ElfFile(fd, name=mapped.path) as elf:
                open_files = partial(LibraryFiles.mapped, pid, mapped)
                found = self._finder.structure(elf, identity, plan.module, plan.library, open_files)
            if isinstance(found, Placements):
                self._engine.attach_library(plan.module, through, found, library, pid, keys=True)
        finally:
            os.close(fd)
