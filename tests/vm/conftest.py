"""Other kernels: `vm_run` boots one and runs commands in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.vm.kernel_image import ImageUnavailableError, kernel_image
from tests.vm.machine import Command, Result, run_in_machine, why_no_machine

VmRun = Callable[..., list[Result]]


@pytest.fixture(scope="session")
def vm_run() -> VmRun:
    """`vm_run("6.12", [command, …], cmdline=["preempt=full"])`: one boot, a result for each command.

    Keywords as in `run_in_machine`.

    A boot takes about 20 s, so tests of one kernel share one: in a fixture of theirs with scope "module".
    """

    def run(version: str, commands: Sequence[Command], **options: Any) -> list[Result]:
        reason = why_no_machine()
        if reason is None:
            try:
                return run_in_machine(kernel_image(version), commands, **options)
            except ImageUnavailableError as error:
                reason = str(error)
        pytest.skip(f"no virtual machine with Linux {version}: {reason}")

    return run
