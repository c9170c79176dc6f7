"""The memory that `plainwire maps` tells is what the kernel accounts for the maps once they are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainwire.decode.btf import Btf
from plainwire.decode.maps import map_declarations
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.map_memory import map_bytes, possible_cpus
from plainwire.kernel.object_files import PACKET_OBJECTS, PROCESS_OBJECT, object_btf
from plainwire.modules import all_modules

OBJECTS = [PROCESS_OBJECT, *PACKET_OBJECTS, *(name for module in all_modules().values() for name in module.objects)]


@pytest.mark.bpf
@pytest.mark.parametrize("name", OBJECTS)
def test_memory_is_what_the_kernel_accounts(name: str) -> None:
    with BpfObject(name) as loaded:
        loaded.load()
        declarations = map_declarations(Btf(object_btf(loaded.path)))
        for declaration in declarations:
            fdinfo = Path(f"/proc/self/fdinfo/{loaded.map(declaration.name).fd}").read_text()
            (memlock,) = [int(line.split()[1]) for line in fdinfo.splitlines() if line.startswith("memlock:")]
            told = map_bytes(declaration, possible_cpus())
            assert told is not None, declaration
            assert abs(told - memlock) <= 512 + memlock // 100, declaration
    assert declarations
