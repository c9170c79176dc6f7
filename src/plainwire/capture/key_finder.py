"""Decides in which files secrets can be captured, and where."""

from __future__ import annotations

from plainwire.inspect.elf import ElfFile
from plainwire.inspect.tls_library import TlsLibrary
from plainwire.layouts.keylog_function import KeylogFunction, NoKeylogFunction, find_keylog_function
from plainwire.modules import Module

# Smaller than any TLS library.
_MIN_SIZE = 256 << 10

FileIdentity = tuple[int, int]


class KeyFinder:
    """Finds each file's function for key logs once.

    deep: look into files too that hold no TLS library by name (static and stripped ones). They are read whole, at some
    300 MB a second: right for the files or processes that the user named, not for all that runs.
    """

    def __init__(self, *, deep: bool) -> None:
        self._deep = deep
        self._found: dict[FileIdentity, KeylogFunction | NoKeylogFunction | None] = {}

    def find(
        self, elf: ElfFile, identity: FileIdentity, module: Module, library: TlsLibrary | None
    ) -> KeylogFunction | NoKeylogFunction | None:
        """The function; NoKeylogFunction where there should be one; None where the file is not the module's."""
        if module.key_object is None:
            return None
        if identity not in self._found:
            self._found[identity] = self._look(elf, module, library)
        return self._found[identity]

    def _look(
        self, elf: ElfFile, module: Module, library: TlsLibrary | None
    ) -> KeylogFunction | NoKeylogFunction | None:
        if library is not None:
            return find_keylog_function(elf) if library.implementation in module.implementations else None
        if not self._deep or elf.size < _MIN_SIZE:
            return None
        found = find_keylog_function(elf)
        return found if isinstance(found, KeylogFunction) else None
