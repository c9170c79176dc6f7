"""Learns the layout of a library's build by every way that there is, and says where they disagree."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from plainwire.errors import InputError, PlainwireError
from plainwire.inspect import process, tls_library

from . import cache, handshake
from .calibration import Calibration, calibrate
from .calls import Library, Owner
from .getters import SUPPORTED_MACHINES, find_functions, layout_by_getters
from .layout import Layout, combine
from .library_files import LibraryFiles, holds_openssl
from .live import secrets_in_process

# Whose SSL structure this is about; the others that offer OpenSSL's functions have structures of their own.
_OPENSSL = "OpenSSL"
_BORINGSSL_FAMILY = ("BoringSSL", "AWS-LC")
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LearnOptions:
    """use_cache: take a layout that was learned before, and keep this one. run: call the library's functions in a
    helper process (calibration). allow_writable: also those of files that others may write, or that a stranger owns.
    helper_started: told the helper's pid before it does anything.
    """

    use_cache: bool = True
    run: bool = True
    allow_writable: bool = False
    seconds: float = SECONDS
    helper_started: Callable[[int], None] = lambda _pid: None


def learn_path(path: Path, options: LearnOptions = LearnOptions()) -> Layout:
    """The layout of the TLS library in a file. Raises InputError when it holds none that this can be about."""
    with LibraryFiles.at(path) as files:
        return learn(files, options)


def learn_process(pid: int, options: LearnOptions = LearnOptions()) -> Iterator[Layout]:
    """The layouts of the TLS libraries that a process has mapped. Raises InputError when there are none."""
    found = [mapped for mapped in process.mapped_files(pid) if holds_openssl(pid, mapped)]
    for mapped in found:
        with LibraryFiles.mapped(pid, mapped) as files:
            yield learn(files, options, pid=pid)
    if not found:
        raise InputError(f"process {pid} has no TLS library of OpenSSL's family mapped whose functions have names")


def learn(files: LibraryFiles, options: LearnOptions = LearnOptions(), *, pid: int | None = None) -> Layout:
    """The layout of one build. pid: a process that has it mapped, whose connections may show what else can't be had."""
    identity = files.identity
    if options.use_cache:
        cached = cache.load(identity)
        if cached is not None:
            return msgspec.structs.replace(cached, file=files.name)
    library = _identify(files)
    answers = {}
    notes = []
    boring = library.implementation != _OPENSSL
    if files.library.machine in SUPPORTED_MACHINES:
        answers["getters"] = layout_by_getters(files.files, single_path_only=boring)
    else:
        notes.append(f"getters: code for {files.library.machine} is not understood")
    complete = False
    try:
        found = _calibrate(files, options)
        answers["calibration"], answers["early secret"] = found.paths, found.by_key_schedule
        complete = True
    except PlainwireError as error:
        notes.append(f"calibration: {error}")
    if pid is not None and "early_secret" not in answers.get("calibration", {}):
        try:
            answers["live memory"] = secrets_in_process(pid, answers.get("getters", {}))
            if not answers["live memory"]:
                notes.append("live memory: no connection of TLS 1.3 without a pre-shared key was found")
        except PlainwireError as error:
            notes.append(f"live memory: {error}")
    values = combine(answers)
    if library.implementation in _BORINGSSL_FAMILY and "early_secret" not in values:
        notes.append(
            f"{library.implementation} keeps TLS 1.3's secrets only during the handshake and under other names: "
            "its keys come from the function that logs them"
        )
    layout = Layout(
        file=files.name,
        identity=identity,
        build_id=files.library.build_id,
        machine=files.library.machine,
        implementation=library.implementation,
        version=_version(files, library.implementation),
        values=values,
        notes=tuple(notes),
    )
    if options.use_cache and (complete or (pid is None and not options.run)):
        cache.save(layout, by_getters=not complete)
    return layout


def _calibrate(files: LibraryFiles, options: LearnOptions) -> Calibration:
    if not options.run:
        raise InputError("switched off")
    elf = files.library
    if elf.machine != platform.machine():
        raise InputError(f"this machine can't run code for {elf.machine}")
    entry = None
    if elf.interpreter is not None and not elf.soname:
        entry = elf.entry
    elif elf.soname is None and not elf.needed:
        raise InputError("a program without a dynamic loader can't be stopped before it begins")
    owner = Owner(files.descriptors, allow_writable=options.allow_writable)
    found = find_functions(files.files, handshake.REQUIRED + handshake.OPTIONAL)
    functions = {name: (files.files.index(file), address) for name, (file, address) in found.items()}
    with Library(
        files.descriptors,
        functions,
        entry=entry,
        owner=owner,
        seconds=options.seconds,
        started=options.helper_started,
    ) as library:
        return calibrate(library)


def _identify(files: LibraryFiles) -> tls_library.TlsLibrary:
    library = tls_library.identify(files.library)
    if library is not None and library.module == "openssl":
        return library
    if library is not None:
        raise InputError(f"{files.name}: {library.implementation} has no layout that plainwire needs")
    for hidden in tls_library.embedded(files.library):
        if hidden.implementation in (_OPENSSL, *_BORINGSSL_FAMILY):
            raise InputError(
                f"{files.name}: {hidden.implementation} is linked in, but the names of its functions were stripped, "
                "so its layout can't be learned"
            )
    needed = [soname for soname in files.library.needed if soname.startswith("libssl")]
    if needed:
        raise InputError(f"{files.name}: holds no TLS library itself; it uses {needed[0]}: name that file")
    raise InputError(
        f"{files.name}: holds no TLS library of OpenSSL's family; for those that a running program uses, name its pid"
    )


def _version(files: LibraryFiles, implementation: str) -> str | None:
    for file in files.files:
        version = tls_library.version(file, implementation)
        if version is not None:
            return version
    return None
