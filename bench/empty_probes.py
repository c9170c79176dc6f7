"""An empty program at the entry of functions and one at their return: the least that any capture by uprobes costs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.compiled import bpf_object
from plainwire.inspect.elf import ElfFile
from plainwire.kernel.features import has_uprobe_multi
from plainwire.kernel.uprobes import ANY_PROCESS, attach_uprobes


@contextmanager
def empty_probes(library: Path, functions: Collection[str], folder: Path) -> Iterator[None]:
    """Attached inside, as the product attaches: by uprobe_multi where the kernel has it. `folder`: for the object."""
    with ElfFile(library) as elf:
        offsets = [elf.file_offset(symbol.address) for symbol in elf.exported(functions).values()]
    multi = has_uprobe_multi()
    with bpf_object("empty", folder) as loaded:
        if multi:
            loaded.use_uprobe_multi()
        loaded.load()
        links = [
            link
            for program, at_return in (("empty_return", True), ("empty_entry", False))
            for link in attach_uprobes(
                loaded.program(program),
                os.fspath(library),
                offsets,
                cookies=[0] * len(offsets),
                at_return=at_return,
                pid=ANY_PROCESS,
                multi=multi,
            )
        ]
        try:
            yield
        finally:
            for link in links:
                link.close()
