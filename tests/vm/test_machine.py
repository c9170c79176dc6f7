"""The harness itself: other kernels boot, run commands with this checkout's Python, and give exact results back."""

from __future__ import annotations

import pytest

from tests.vm.conftest import VmRun

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("version", ["6.1", "6.12"])
def test_a_kernel_boots_and_runs_commands(vm_run: VmRun, version: str) -> None:
    release, preempt, sources, btf, python, failing, hanging, after = vm_run(
        version,
        [
            ["uname", "-r"],
            ["cat", "/sys/kernel/debug/sched/preempt"],
            ["ls", "/sys/bus/event_source/devices"],
            ["test", "-s", "/sys/kernel/btf/vmlinux"],
            ["python", "-c", "import plainwire, sys; print(sys.prefix)"],
            ["sh", "-c", "echo out; echo err >&2; exit 7"],
            ["sleep", "1000"],
            ["echo", "after"],
        ],
        cmdline=["preempt=full"],
        timeout=30,
    )
    assert release.stdout.startswith(f"{version}.")
    assert "(full)" in preempt.stdout
    assert {"kprobe", "uprobe", "tracepoint"} <= set(sources.stdout.split())
    assert btf.status == 0
    assert python.status == 0, python.stderr
    assert (failing.status, failing.stdout, failing.stderr) == (7, "out\n", "err\n")
    assert hanging.status == 124
    assert after.stdout == "after\n"
