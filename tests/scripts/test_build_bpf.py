"""The build leaves an eBPF object for each source and each architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = ROOT / "src" / "plainwire" / "bpf_objects"
SOURCES = sorted(path.name.removesuffix(".bpf.c") for path in (ROOT / "bpf").glob("*.bpf.c"))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("source", SOURCES)
def test_each_source_has_an_object_with_btf(source: str, machine: str) -> None:
    with (OBJECTS / f"{source}.{machine}.o").open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == "EM_BPF"
        for section in (".BTF", ".BTF.ext", "license"):
            assert elf.get_section_by_name(section) is not None, section
