"""Every eBPF object passes the verifier of this kernel, with all that a capture may switch on."""

from __future__ import annotations

import platform

import pytest

from plainwire.kernel.object_files import OBJECTS

pytestmark = pytest.mark.bpf

# Of the trials, kernels refuse some: they are loaded one by one.
NAMES = sorted({path.name.split(".")[0] for path in OBJECTS.glob(f"*.{platform.machine()}.o")} - {"trials"})
# The verifier leaves out what a constant switches off.
SWITCHED_ON = {
    "connections_told": 2,
    "target_pid": 1,
    "target_uid": 1,
    "filter_pids": 1,
    "filter_comms": 1,
    "filter_packets": 1,
    "filter_processes": 1,
}


@pytest.mark.parametrize("ring", [True, False], ids=["ring", "perf"])
@pytest.mark.parametrize("name", NAMES)
def test_is_loaded(name: str, ring: bool) -> None:
    # BPF may be forbidden here, and then these can't be imported.
    from plainwire.kernel.bpf_object import BpfObject
    from plainwire.kernel.open_buffer import open_buffer

    buffer = open_buffer(1 << 20, ring=ring)
    try:
        with BpfObject(name) as opened:
            opened.set_constants({**SWITCHED_ON, "use_ring": int(ring)})
            opened.share_event_buffer(buffer.fd, ring=ring)
            opened.load()
    finally:
        buffer.close()
