"""The trial handshakes by which plainwire learns a layout are nobody's connections: their secrets are not written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from plainwire.inspect.loader_cache import cached_libraries
from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.keylogs import TLS13_LABELS, labels, lines
from tests.support.processes import wait_until
from tests.support.tls_program import Told

pytestmark = pytest.mark.bpf


def unknown_build(folder: Path) -> Path:
    """A copy of the system's libssl whose build id nobody has seen: its layout can't have been learned before."""
    (system,) = (Path(library.path) for library in cached_libraries(lambda soname: soname == "libssl.so.3"))
    content = bytearray(system.read_bytes())
    note = content.index(bytes([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0]) + b"GNU\0") + 16  # NT_GNU_BUILD_ID of <elf.h>
    content[note : note + 20] = os.urandom(20)
    copy = folder / "libssl.so.3"
    copy.write_bytes(content)
    shutil.copymode(system, copy)
    return copy


def test_handshakes_of_the_calibration_are_left_out(
    tmp_path: Path, certificate: Certificate, run_plainwire: RunPlainwire
) -> None:
    library, ours = unknown_build(tmp_path), tmp_path / "ours"
    with Told(certificate, tmp_path, library) as program:
        # The probe at the log function stands when the helper opens the same file and makes its handshakes.
        capture = run_plainwire("--no-data", "--json", "--keylog", ours, "--lib", library)
        assert lines(ours) == set()
        program.say("the structure of a connection that was there before")
        wait_until(lambda: len(lines(ours)) >= len(TLS13_LABELS), "the secrets")
        capture.stop()
        secrets = capture.events("secret")
        assert {event["way"] for event in secrets} == {"structure"}  # so the layout was learned, by a helper
        assert {event["pid"] for event in secrets} == {program.pid}
        assert labels(lines(ours)) == TLS13_LABELS
