"""Objects are loaded for the first file that needs them, or beside the capture; a refusal is told to who needs one."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.engine import Engine, Filters
from plainwire.kernel.lazy_object import LazyObject, Loading
from plainwire.kernel.libbpf import KernelError
from plainwire.modules import all_modules
from scripts.build_bpf import compile_object, compiler
from tests.support.processes import loaded_programs, wait_until

pytestmark = pytest.mark.bpf

REFUSED = """
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
SEC("uprobe")
int reads_anywhere(void *context)
{
	return *(int *)bpf_get_current_task();
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_the_first_file_and_the_rest() -> None:
    engine = Engine(all_modules().values(), Filters(pid=1), "auto", 1 << 20, keys=True)
    try:
        at_first = loaded_programs("self")
        assert engine.prepare(all_modules()["openssl"]) == []
        for_openssl = loaded_programs("self")
        assert for_openssl > at_first
        assert engine.prepare(all_modules()["openssl"]) == []
        assert loaded_programs("self") == for_openssl
        engine.load_rest()
        wait_until(lambda: loaded_programs("self") > for_openssl, "another object to be loaded")
    finally:
        engine.close()
    assert loaded_programs("self") == 0


def test_a_refusal_is_told_to_each_who_needs_the_object(tmp_path: Path) -> None:
    source = tmp_path / "refused.bpf.c"
    source.write_text(REFUSED)
    path = compile_object(compiler(), source, platform.machine(), tmp_path)

    def load(name: str) -> BpfObject:
        return BpfObject(name, path).load_only("reads_anywhere")

    refused = LazyObject("refused", load)
    Loading([refused]).stop()
    for _ in range(2):
        with pytest.raises(KernelError, match=r"the kernel refuses a program of refused .*reads_anywhere"):
            refused.get()
    refused.close()
