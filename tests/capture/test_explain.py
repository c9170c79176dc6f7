"""What can be captured of real processes, and the reasons where nothing can."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from plainwire.capture.explain import Explanation, Library, explain
from plainwire.errors import PermissionMissingError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.loader_cache import cached_libraries
from plainwire.inspect.process import ProcessGoneError
from plainwire.modules import all_modules
from tests.support.compiled import compile_library, functions
from tests.support.processes import wait_until
from tests.support.waiting_python import python

LOAD = "import ctypes, sys; library = ctypes.CDLL(sys.argv[1])"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def system_library(soname: str) -> Path:
    found = [library for library in cached_libraries(lambda name: name == soname) if library.machine == "x86_64"]
    if not found:
        pytest.skip(f"{soname} is not installed")
    return Path(found[0].path).resolve()


def only_library(explanation: Explanation) -> Library:
    assert len(explanation.libraries) == 1, explanation.libraries
    return explanation.libraries[0]


def test_python_with_ssl() -> None:
    with python("import ssl") as child:
        explanation = explain(child.pid)
        version = subprocess.run(
            [sys.executable, "-c", "import ssl; print(ssl.OPENSSL_VERSION.split()[1])"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert explanation.capturable
    assert explanation.reason is None
    library = next(library for library in explanation.libraries if library.module)
    assert library.implementation == "OpenSSL"
    assert library.version == version.stdout.strip()
    with ElfFile(Path(library.path)) as elf:
        assert library.build_id == elf.build_id
        for function in library.functions:
            assert elf.symbols([function.name])[function.name].address == function.address
            assert elf.address(function.file_offset) == function.address
    hooked = {hook.function for hook in all_modules()["openssl"].hooks}
    assert {function.name for function in library.functions} | set(library.absent) == hooked
    assert {"SSL_read_ex", "SSL_write_ex"} <= {function.name for function in library.functions}


def test_a_program_without_tls() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            explanation = explain(child.pid)
        finally:
            child.kill()
    assert not explanation.capturable
    assert explanation.libraries == ()
    assert explanation.reason is not None
    assert explanation.reason.startswith("it maps no TLS library")


def test_children_are_named_where_the_parent_has_nothing() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        explanation = explain(shell.pid)
        assert len(explanation.children) == 1
        (child,) = explanation.children
        wait_until(lambda: explain(child).comm == "sleep", "the child to be a sleep")
        os.kill(child, 9)


@pytest.mark.parametrize(("soname", "name"), [("libgnutls.so.30", "GnuTLS"), ("libssl3.so", "NSS")])
def test_libraries_that_cannot_be_captured_yet_are_named(soname: str, name: str) -> None:
    with python(LOAD, str(system_library(soname))) as child:
        explanation = explain(child.pid)
    library = only_library(explanation)
    assert library.implementation == name
    assert library.version is not None
    assert not explanation.capturable
    assert explanation.reason == library.reason == f"plainwire cannot capture {name} yet"


def test_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    with subprocess.Popen([node, "-e", "console.log(1); setTimeout(() => {}, 60000)"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        explanation = explain(child.pid)
        child.kill()
    assert explanation.capturable
    assert "OpenSSL" in {library.implementation for library in explanation.libraries}


@needs_root
def test_a_library_deleted_since(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so.3"
    shutil.copy(system_library("libssl.so.3"), path)
    with python(LOAD, str(path)) as child:
        path.unlink()
        explanation = explain(child.pid)
    library = only_library(explanation)
    assert (library.path, library.deleted, library.module) == (str(path), True, "openssl")


@needs_root
def test_a_library_in_another_root(tmp_path: Path) -> None:
    library = compile_library(tmp_path, source=functions(["SSL_read", "SSL_write"]))
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    shutil.copy(library, root / "opt/inside.so")
    code = (
        "import mmap, os, sys; os.chroot(sys.argv[1]); fd = os.open('/opt/inside.so', os.O_RDONLY);"
        "keep = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)"
    )
    with python(code, str(root)) as child:
        found = only_library(explain(child.pid))
    assert (found.path, found.module) == ("/opt/inside.so", "openssl")
    assert {function.name for function in found.functions} == {"SSL_read", "SSL_write"}


def test_a_stripped_copy_is_named_with_the_reason(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "-s", source='const char file[] = "third_party/boringssl/ssl/ssl_lib.cc";')
    with python(LOAD, str(path)) as child:
        explanation = explain(child.pid)
    assert only_library(explanation).implementation == "BoringSSL"
    assert explanation.reason is not None
    assert "stripped" in explanation.reason


@contextmanager
def program_of_32_bits(folder: Path, source: str) -> Iterator[int]:
    """A 32-bit program without any library, which waits for a signal."""
    path = folder / "program32"
    start = 'void _start(void) { for (;;) __asm__("mov $29, %eax; int $0x80"); }'  # pause(2)
    build = ["cc", "-m32", "-static", "-nostdlib", "-fno-pie", "-no-pie", "-x", "c", "-", "-o", path]
    if subprocess.run(build, input=(source + start).encode(), capture_output=True, check=False).returncode:
        pytest.skip("this compiler makes no 32-bit programs")
    try:
        child = subprocess.Popen([path])
    except OSError as error:
        pytest.skip(f"this kernel runs no 32-bit programs: {error.strerror}")
    with child:
        yield child.pid
        child.kill()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="i386 programs run on x86-64 alone")
def test_32_bit_programs_are_refused_in_words(tmp_path: Path) -> None:
    with program_of_32_bits(tmp_path, functions(["SSL_read", "SSL_write"])) as pid:
        explanation = explain(pid)
    library = only_library(explanation)
    assert library.module is None
    assert explanation.reason == "it is 32-bit i386 code: only 64-bit x86_64 can be captured"
    with program_of_32_bits(tmp_path, "") as pid:
        explanation = explain(pid)
    assert explanation.libraries == ()
    assert explanation.reason == "it is a 32-bit program: only 64-bit x86_64 can be captured"


def test_kernel_threads_and_zombies() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert "zombie" in (explain(child).reason or "")
    finally:
        os.waitpid(child, 0)
    with pytest.raises(ProcessGoneError, match=f"no process with pid {child}"):
        explain(child)
    if os.geteuid() == 0 and Path("/proc/2/comm").read_text() == "kthreadd\n":
        assert "kernel" in (explain(2).reason or "")


def test_damaged_libraries_are_told_of_and_do_not_hide_the_others(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(compile_library(tmp_path).read_bytes()[:200])
    code = (
        "import mmap, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "keep = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n"
        "import ctypes; ctypes.CDLL(sys.argv[2])"
    )
    whole = system_library("libssl.so.3")
    with python(code, str(damaged), str(whole)) as child:
        explanation = explain(child.pid)
    assert len(explanation.unreadable) == 1
    assert str(damaged) in explanation.unreadable[0]
    assert only_library(explanation).path == str(whole)


def test_other_users_processes(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        with pytest.raises(PermissionMissingError, match="CAP_SYS_PTRACE"):
            explain(1)
    else:
        pytest.skip("root may look at every process")


def test_the_explanation_survives_json() -> None:
    explanation = explain(os.getpid())
    assert msgspec.json.decode(msgspec.json.encode(explanation), type=Explanation) == explanation
