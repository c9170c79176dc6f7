"""A library's file and those that it needs for its work, open and ready to be read, or to be loaded by a helper."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from plainwire.errors import InputError
from plainwire.inspect import process, tls_library
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.loader_cache import cached_libraries

_MAX_FILES = 16
_CHUNK = 1 << 20

Find = Callable[[str], int | None]  # a library's descriptor by its soname, or None


class LibraryFiles:
    """The file that holds a TLS library, first, and the libraries that it needs and that a loader may not find by
    itself: its libcrypto, and what a wheel or an application brings along. Use it as a context manager.
    """

    def __init__(self, name: str, descriptor: int, find: Find) -> None:
        """descriptor becomes ours. Raises InputError when the file is no ELF file."""
        self.name = name
        self.descriptors: list[int] = []
        self.files: list[ElfFile] = []
        self._open = ExitStack()
        try:
            self._add(name, descriptor)
            self._add_needed(find)
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, path: Path) -> Self:
        """By its path; needed libraries are looked for beside it, then as the dynamic loader does."""
        return cls(str(path), _open_file(path), _beside(path.resolve().parent))

    @classmethod
    def mapped(cls, pid: int, mapped: process.MappedFile) -> Self:
        """As a process has it mapped, in whatever root; needed libraries are those that the process has mapped."""
        others = process.mapped_files(pid)

        def find(soname: str) -> int | None:
            for other in others:
                # The file is called as its soname, perhaps with the patch level ("libcrypto.so.1.1.1k").
                if Path(other.path).name.startswith(soname):
                    return process.open_mapped(pid, other)
            return None

        return cls(mapped.path, process.open_mapped(pid, mapped), find)

    def _add(self, name: str, descriptor: int) -> None:
        self._open.callback(os.close, descriptor)
        self.files.append(self._open.enter_context(ElfFile(descriptor, name=name)))
        self.descriptors.append(descriptor)

    def _add_needed(self, find: Find) -> None:
        standard = {library.soname for library in cached_libraries(lambda _: True)}
        seen: set[str] = set()
        for file in self.files:  # grows meanwhile
            for soname in file.needed:
                # The system's own libraries are the same for everyone; which libcrypto is meant is what matters.
                if soname in seen or (soname in standard and not soname.startswith("libcrypto")):
                    continue
                seen.add(soname)
                descriptor = find(soname) if len(self.files) < _MAX_FILES else None
                if descriptor is not None:
                    self._add(soname, descriptor)

    @property
    def library(self) -> ElfFile:
        return self.files[0]

    @property
    def identity(self) -> str:
        """Equal for equal builds: of the library and its libcrypto, and whose files they are."""
        parts = [_identity(file, fd) for file, fd in zip(self.files, self.descriptors, strict=True)]
        digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:40]
        # Whoever owns a file writes its build id: none of his may speak for the system's.
        owners = {os.fstat(descriptor).st_uid for descriptor in self.descriptors} - {0}
        return digest + "".join(f"-{uid}" for uid in sorted(owners))

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def holds_openssl(pid: int, mapped: process.MappedFile) -> bool:
    """Whether a file that a process maps holds a TLS library of OpenSSL's family."""
    with suppress(InputError):
        descriptor = process.open_mapped(pid, mapped)
        try:
            with ElfFile(descriptor, name=mapped.path) as elf:
                library = tls_library.identify(elf)
        finally:
            os.close(descriptor)
        return library is not None and library.module == "openssl"
    return False


def _identity(file: ElfFile, descriptor: int) -> str:
    if file.build_id:
        return file.build_id
    digest = hashlib.sha256()
    for offset in range(0, file.size, _CHUNK):
        digest.update(os.pread(descriptor, _CHUNK, offset))
    return digest.hexdigest()


def _open_file(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"{path}: cannot open: {error.strerror}") from None


def _beside(folder: Path) -> Find:
    def find(soname: str) -> int | None:
        places = [folder / soname]
        places += [Path(library.path) for library in cached_libraries(lambda name: name == soname)]
        return next((_open_file(place) for place in places if place.is_file()), None)

    return find
