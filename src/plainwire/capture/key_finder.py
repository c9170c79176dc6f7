"""Decides in which files secrets can be captured, by which way, and where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from plainwire.capture.layout_learner import OpenFiles
from plainwire.errors import PlainwireError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.tls_library import TlsLibrary
from plainwire.kernel.keylog import pack_handshake_layout, pack_keylog_function
from plainwire.layouts.packed_layout import pack_layout
from plainwire.layouts.placements import Placement, Placements
from plainwire.modules import Module

# Smaller than any TLS library.
_MIN_SIZE = 256 << 10

FileIdentity = tuple[int, int]  # device and inode, as fstat(2) tells
Found = Placements | str | None
LeavingOut = Callable[[], AbstractContextManager[Callable[[int], None]]]


class KeyFinder:
    """Finds each file's function for key logs, and the layout of its structures, once.

    Both give where programs of the module's `key_object` are attached; a reason, in words, why they can't be; or None
    where the file is not the module's.

    deep: look into files too that hold no TLS library by name (static and stripped ones). They are read whole, at some
    300 MB a second: right for the files or processes that the user named, not for all that runs.
    leaving_out: a block in which the pids that its function is given are not captured: a layout is learned by trial
    handshakes with the very library that may have probes by then.
    """

    def __init__(self, *, deep: bool, leaving_out: LeavingOut) -> None:
        self._deep = deep
        self._leaving_out = leaving_out
        self._functions: dict[FileIdentity, Found] = {}
        self._structures: dict[FileIdentity, Found] = {}

    def function(self, elf: ElfFile, identity: FileIdentity, module: Module, library: TlsLibrary | None) -> Found:
        """The function that formats the lines of a key log."""
        if module.key_object is None:
            return None
        if identity not in self._functions:
            self._functions[identity] = self._find_function(elf, module, library)
        return self._functions[identity]

    def _find_function(self, elf: ElfFile, module: Module, library: TlsLibrary | None) -> Found:
        unnamed = library is None
        if library is not None and library.implementation not in module.implementations:
            return None
        if unnamed and (not self._deep or elf.size < _MIN_SIZE):
            return None
        # The disassembler takes longer to import than everything else here together.
        from plainwire.layouts.keylog_function import KeylogFunction, find_keylog_function  # noqa: PLC0415

        function = find_keylog_function(elf)
        if not isinstance(function, KeylogFunction):
            return None if unnamed else function.reason
        place = Placement("ssl_log_secret", "probe_keylog_function", function.address, function.file_offset)
        return Placements((place,), layouts=(("keylog_functions", pack_keylog_function(function)),))

    def structure(
        self,
        elf: ElfFile,
        identity: FileIdentity,
        module: Module,
        library: TlsLibrary | None,
        open_files: OpenFiles,
    ) -> Found:
        """The functions at whose entry a connection's structure is read. open_files: as in LayoutLearner.learn."""
        if module.key_object is None or library is None or library.implementation not in module.implementations:
            return None
        if identity not in self._structures:
            with self._leaving_out() as leave_out:
                self._structures[identity] = _learn(elf, module, open_files, leave_out)
        return self._structures[identity]


def _learn(elf: ElfFile, module: Module, open_files: OpenFiles, leave_out: Callable[[int], None]) -> Placements | str:
    from plainwire.layouts.learn import LearnOptions, learn  # noqa: PLC0415
    from plainwire.layouts.secret_layout import handshake_layout  # noqa: PLC0415

    functions = elf.symbols([hook.function for hook in module.key_hooks])
    if not functions:
        return "its functions have no names"
    try:
        with open_files() as files:
            layout = learn(files, LearnOptions(helper_started=leave_out))
            handshake = handshake_layout(files, layout)
    except (PlainwireError, OSError) as error:
        return str(error)
    if isinstance(handshake, str):
        return handshake
    places = []
    for hook in module.key_hooks:
        if hook.function in functions:
            address = functions[hook.function].address
            places.append(Placement(hook.function, hook.entry, address, elf.file_offset(address)))
    values = pack_handshake_layout(handshake.in_init, handshake.server_finished_hash, handshake.server_finished_key)
    return Placements(tuple(places), layouts=(("library_layouts", pack_layout(layout)), ("handshake_layouts", values)))
