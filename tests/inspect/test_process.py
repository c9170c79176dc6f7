"""Process facts and mapped files, of real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.process import (
    _CONTAINER_ID,
    _NAMED_CONTAINER,
    MappedFile,
    ProcessGoneError,
    executable,
    mapped_files,
    open_mapped,
    pids,
    process,
)
from tests.support.compiled import compile_library
from tests.support.waiting_python import python

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


LOAD = "import ctypes, sys; library = ctypes.CDLL(sys.argv[1])"


def mapped(pid: int, path: Path | str) -> MappedFile:
    return next(file for file in mapped_files(pid) if file.path == str(path))


def contents(pid: int, file: MappedFile) -> bytes:
    descriptor = open_mapped(pid, file)
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read()


def test_facts_of_a_process() -> None:
    before = time.monotonic_ns()
    with python("import ctypes; ctypes.CDLL(None).prctl(15, b'a) b(c d')", "two words", "") as child:
        facts = process(child.pid)
        assert facts.pid == child.pid
        assert facts.ppid == os.getpid()
        assert facts.uid == os.getuid()
        assert facts.comm == "a) b(c d"
        assert facts.exe == executable(child.pid) == os.path.realpath(sys.executable)
        assert facts.cmdline is not None
        assert facts.cmdline[-2:] == ("two words", "")
        assert before - 20_000_000 <= facts.start_ns <= time.monotonic_ns()
        assert facts.namespace_pids[0] == child.pid
        assert facts.is_32bit is False
        assert facts.is_kernel_thread is False
        assert child.pid in pids()
    with pytest.raises(ProcessGoneError, match=f"no process with pid {child.pid}"):
        process(child.pid)


def test_a_thread_gives_its_process() -> None:
    with python(
        "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    ) as child:
        threads = [int(path.name) for path in Path(f"/proc/{child.pid}/task").iterdir()]
        assert len(threads) == 2
        assert {process(thread).pid for thread in threads} == {child.pid}


def test_kernel_threads_are_told_apart() -> None:
    kernel_thread = process(2)
    if kernel_thread.comm != "kthreadd":
        pytest.skip("pid 2 is not kthreadd in this pid namespace")
    assert kernel_thread.is_kernel_thread
    assert kernel_thread.exe is None
    assert kernel_thread.cmdline is None
    if os.geteuid() == 0:
        assert mapped_files(2) == []


@pytest.mark.parametrize("number", [0, 4_194_305, 99_999_999_999])
def test_no_such_process(number: int) -> None:
    for read in (process, mapped_files):
        with pytest.raises(ProcessGoneError):
            read(number)
    assert executable(number) is None


@pytest.mark.parametrize(
    "name",
    ["plain.so", "two words.so", "new\nline.so", r"back\012slash.so", "odd (deleted)", "näïve\udcff.so", "tab\t.so"],
)
def test_mapped_files_by_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(compile_library(tmp_path), path)
    with python(LOAD, str(path)) as child:
        file = mapped(child.pid, path)
        assert not file.deleted
        assert file.inode == path.stat().st_ino
        assert contents(child.pid, file) == path.read_bytes()


@needs_root
@pytest.mark.parametrize("name", ["gone.so", "new\nline.so", "odd (deleted)"])
def test_deleted_files(tmp_path: Path, name: str) -> None:
    library = compile_library(tmp_path)
    path = tmp_path / name
    shutil.copy(library, path)
    with python(LOAD, str(path)) as child:
        path.unlink()
        path.write_bytes(b"another file at the same path")
        file = mapped(child.pid, path)
        assert file.deleted
        assert contents(child.pid, file) == library.read_bytes()
        descriptor = open_mapped(child.pid, file)
        with ElfFile(descriptor, name=file.path) as elf:
            assert set(elf.exported(["SSL_read"])) == {"SSL_read"}
        os.close(descriptor)


@needs_root
def test_libraries_in_memory_files(tmp_path: Path) -> None:
    library = compile_library(tmp_path)
    code = (
        "import ctypes, os, sys; fd = os.memfd_create('in memory'); os.write(fd, open(sys.argv[1], 'rb').read());"
        "library = ctypes.CDLL(f'/proc/self/fd/{fd}')"
    )
    with python(code, str(library)) as child:
        file = mapped(child.pid, "/memfd:in memory")
        assert file.deleted
        assert contents(child.pid, file) == library.read_bytes()


MAP_IN_ROOT = (
    "import mmap, os, sys\n"
    "def map(path):\n"
    "    fd = os.open(path, os.O_RDONLY)\n"
    "    return mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n"
    "before = map(sys.argv[1] + '/opt/before.so')\n"
    "os.chroot(sys.argv[1]); os.chdir('/')\n"
    "after = map('/opt/after.so')"
)


@needs_root
def test_files_in_another_root(tmp_path: Path) -> None:
    """After chroot(2) the paths count from the new root, but for what was mapped before."""
    library = compile_library(tmp_path)
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    for name in ("before.so", "after.so"):
        shutil.copy(library, root / "opt" / name)
    with python(MAP_IN_ROOT, str(root)) as child:
        for path in ("/opt/after.so", "/opt/before.so"):
            file = mapped(child.pid, path)
            assert not file.deleted
            assert contents(child.pid, file) == library.read_bytes()
            # By the path alone, which is what is left to those who may not use map_files.
            elsewhere = replace(file, start=0x1000, end=0x2000)
            assert contents(child.pid, elsewhere) == library.read_bytes()
            with pytest.raises(InputError, match="no longer at its path"):
                open_mapped(child.pid, replace(elsewhere, inode=file.inode + 1_000_000))
        assert executable(child.pid) == os.path.realpath(sys.executable)
    with pytest.raises(ProcessGoneError):
        open_mapped(child.pid, file)


@needs_root
def test_files_in_another_mount_namespace(tmp_path: Path) -> None:
    """As in a container: the host has no file, or another one, at the path that the process sees."""
    library = compile_library(tmp_path)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "library.so").write_bytes(b"the host's file")
    script = 'mount -t tmpfs none "$1" && cp "$0" "$1/library.so" && exec "$2" -c "$3" "$1/library.so"'
    code = LOAD + "\nprint('ready', flush=True)\ninput()"
    command = ["unshare", "--mount", "sh", "-c", script, str(library), str(inside), sys.executable, code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            pytest.skip("mount namespaces are not permitted here")
        file = mapped(child.pid, inside / "library.so")
        assert contents(child.pid, file) == library.read_bytes()
        assert contents(child.pid, replace(file, start=0x1000, end=0x2000)) == library.read_bytes()
        child.communicate(b"\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_other_users_processes_need_a_capability() -> None:
    code = (
        "import os, sys\n"
        "from plainwire.inspect.process import mapped_files, process\n"
        "from plainwire.errors import PermissionMissingError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "assert process(int(sys.argv[1])).comm\n"
        "try: mapped_files(int(sys.argv[1]))\n"
        "except PermissionMissingError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(os.getpid())], capture_output=True, text=True, check=True)
    assert "CAP_SYS_PTRACE" in done.stdout


def test_a_zombie_has_no_files() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        assert mapped_files(child) == []
        assert process(child).exe is None
    finally:
        os.waitpid(child, 0)


CONTAINER = "3f" * 32


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        (f"0::/system.slice/docker-{CONTAINER}.scope", CONTAINER),
        (f"12:pids:/docker/{CONTAINER}\n1:name=systemd:/docker/{CONTAINER}", CONTAINER),
        (f"0::/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-{CONTAINER}.scope", CONTAINER),
        (f"0::/kubepods/besteffort/pod12-34/{CONTAINER}", CONTAINER),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container", CONTAINER),
        (f"0::/system.slice/containerd.service/kubepods-burstable.slice:cri-containerd:{CONTAINER}", CONTAINER),
        ("0::/lxc.payload.web/init.scope", "web"),
        ("0::/machine.slice/machine-debian.scope/payload", "debian"),
        ("0::/user.slice/user-0.slice/session-3.scope", None),
        ("0::/", None),
    ],
)
def test_container_names(cgroup: str, expected: str | None) -> None:
    text = cgroup.encode()
    found = _CONTAINER_ID.findall(text) or _NAMED_CONTAINER.findall(text)
    assert (found[-1].decode() if found else None) == expected


def test_reading_vanishing_processes_never_fails_otherwise() -> None:
    """Processes that end in every possible moment, among them in the middle of a read."""
    script = "for i in $(seq 400); do /bin/true & done; wait"
    with subprocess.Popen(["sh", "-c", script]) as shell:
        seen = 0
        while shell.poll() is None:
            for pid in pids():
                if pid > shell.pid:
                    try:
                        for file in mapped_files(pid):
                            os.close(open_mapped(pid, file))
                        process(pid)
                        seen += 1
                    except InputError:
                        pass
        assert seen
