"""A libssl is found wherever it is, however late it is loaded: bundled, deleted, in another root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plainwire.inspect.loader_cache import cached_libraries
from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import Told, capture_program, captured, run_program

pytestmark = pytest.mark.bpf


@pytest.fixture
def bundled(tmp_path: Path) -> Path:
    """A libssl of its own, named as wheels name theirs."""
    (system,) = cached_libraries(lambda soname: soname == "libssl.so.3")
    path = tmp_path / "package.libs" / "libssl-5f3a2c1b.so.3"
    path.parent.mkdir()
    shutil.copy(system.path, path)
    return path


def test_opened_late_by_the_command(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, bundled: Path
) -> None:
    """The first call is captured, though nobody knew of the library when the command began."""
    done, events = capture_program(run_plainwire, "echo_once", certificate, tmp_path, bundled)
    assert captured(events, done.pid) == done.moved
    assert {event["library"] for event in events if event["kind"] == "data"} == {str(bundled)}


def test_loaded_before_the_capture(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, bundled: Path
) -> None:
    with Told(certificate, tmp_path, bundled) as process:
        process.say("nobody listens yet")
        capture = run_plainwire("--json")
        process.say("somebody listens")
        capture.stop()
    assert set(captured(capture, process.pid).values()) == {b"somebody listens\n"}


def test_deleted_since(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, bundled: Path) -> None:
    with Told(certificate, tmp_path, bundled) as process:
        bundled.unlink()
        capture = run_plainwire("--json")
        done = process.say("from beyond")
        capture.stop()
    assert captured(capture, process.pid) == done.moved


@pytest.mark.parametrize("first", ["process", "capture"])
def test_in_another_root(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, bundled: Path, first: str
) -> None:
    """A mount namespace and a root of its own: the library's path means nothing outside."""
    root = tmp_path / "root"
    root.mkdir()
    enter = (
        f"mount --rbind / {root} && mount -t tmpfs none {root}/opt && cp {bundled} {root}/opt/libssl.so.3 && "
        f'exec chroot {root} "$@"'
    )
    contained = Told(certificate, tmp_path, "/opt/libssl.so.3", "unshare", "-m", "sh", "-c", enter, "sh")
    if first == "capture":
        capture = run_plainwire("--json")
    with contained as process:
        if first == "process":
            capture = run_plainwire("--json", "--pid", str(process.pid))
        else:
            process.say("gives the capture time to attach")
        done = process.say("from inside")
        capture.stop()
    seen = captured(capture, process.pid)
    assert seen.keys() == done.moved.keys()
    for end, data in done.moved.items():
        assert data.endswith(seen[end]) and seen[end].endswith(b"from inside\n")
    assert {event["library"] for event in capture.events("data") if event["pid"] == process.pid} == {"/opt/libssl.so.3"}


def test_lib_captures_that_file_alone(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, bundled: Path
) -> None:
    capture = run_plainwire("--json", "--lib", bundled)
    run_program("echo_once", certificate, tmp_path, "libssl.so.3")
    done = run_program("echo_once", certificate, tmp_path, bundled)
    capture.stop()
    assert captured(capture, done.pid) == done.moved
    assert {event["pid"] for event in capture.events("data")} == {done.pid}
