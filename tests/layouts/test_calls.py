"""The helper process: what a library's code may do there, and what it costs when the code is hostile."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from plainwire.inspect.elf import ElfFile
from plainwire.layouts.calls import NOBODY, CalibrationError, Library, Owner
from plainwire.layouts.learn import LearnOptions, learn_path
from tests.support.processes import wait_until

PROBE = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
long user(void) { return getuid() == geteuid() ? getuid() : -1; }
long group(void) { gid_t groups[64]; return getgroups(64, groups) == 0 ? getgid() : -1; }
long raise_privileges(void) { return setuid(0) == 0; }
long privileges_by_exec(void) { return !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }
long files(void) { long n = 0; DIR *d = opendir("/proc/self/fd"); while (readdir(d)) n++; return n - 3; }
long start_process(void) { pid_t child = fork(); if (child == 0) _exit(0); return child > 0; }
long write_file(const char *path) {
    int f = open(path, O_CREAT | O_WRONLY, 0600);
    return f >= 0 && write(f, "x", 1) == 1;
}
long reach(long port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    return s >= 0 && connect(s, (void *)&to, sizeof to) == 0;
}
long take_memory(void) { char *p = malloc(8UL << 30); if (p) memset(p, 1, 4096); return p != 0; }
long sum(long a, long b, long c, long d, long e, long f) { return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f; }
long first_byte(const char *p) { return *p; }
long call_back(void (*f)(void *, const char *)) { f(0, "LABEL 00 11"); f(0, "LABEL 22 33"); return 7; }
long hang(void) { for (;;) {} }
long crash(void) { return *(volatile long *)16; }
long leave(void) { _exit(0); }
long say(const char *text, long size) { return write(1, text, size); }
long babble(void) { for (int i = 0; i < 100000; i++) if (write(1, "babble", 6) < 0) break; return 1; }
"""
FUNCTIONS = (
    "user", "group", "raise_privileges", "privileges_by_exec", "files", "start_process", "write_file", "reach",
    "take_memory", "sum", "first_byte", "call_back", "hang", "crash", "leave", "babble", "say",
)  # fmt: skip

Build = Callable[[str], Path]


@pytest.fixture(params=["library", "program"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Compiles C code as a library, or into a program whose `main` must never run."""

    def compile_it(source: str) -> Path:
        path = tmp_path / str(request.param)
        options = ["-shared", "-fPIC"]
        if request.param == "program":
            options = ["-pie"]
            source += "\nint main(void) { for (;;) {} }"
        subprocess.run(["cc", "-x", "c", *options, "-o", str(path), "-"], input=source.encode(), check=True)
        path.chmod(0o755)
        return path

    return compile_it


@contextmanager
def opened(path: Path, seconds: float = 5, names: tuple[str, ...] = FUNCTIONS) -> Iterator[Library]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with ElfFile(descriptor) as elf:
            functions = {name: (0, symbol.address) for name, symbol in elf.symbols(names).items()}
            entry = elf.entry if elf.interpreter else None
        owner = Owner([descriptor], allow_writable=False)
        with Library([descriptor], functions, entry=entry, owner=owner, seconds=seconds) as library:
            yield library
    finally:
        os.close(descriptor)


def test_calls_functions_and_collects_key_log_lines(build: Build) -> None:
    with opened(build(PROBE)) as library:
        assert library.call("sum", 1, 2, 3, 4, 5, 6) == 1 + 4 + 9 + 16 + 25 + 36
        assert library.call("sum", -1, 0, 0, 0, 0, 0) == (1 << 64) - 1
        assert library.call("first_byte", library.place(b"A")) == ord("A")
        assert library.call("call_back", "KEYLOG") == 7
        assert library.keylog() == ["LABEL 00 11", "LABEL 22 33"]


def test_the_code_is_confined(build: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, opened(build(PROBE)) as library:
        assert library.call("files") <= 4  # the three standard ones and the file itself
        expected = NOBODY if os.geteuid() == 0 else os.getuid()
        assert library.call("user") == expected
        assert library.call("raise_privileges") == 0
        assert library.call("privileges_by_exec") == 0
        assert library.call("reach", server.getsockname()[1]) == 0
        assert library.call("start_process") == 0
        assert library.call("take_memory") == 0
        with tempfile.TemporaryDirectory() as folder:  # which everybody may enter, as tmp_path's parents are not
            Path(folder).chmod(0o777)
            target = Path(folder) / "file"
            with suppress(CalibrationError):  # a traced program is seen to get the signal
                assert library.call("write_file", library.place(os.fsencode(target) + b"\0")) == 0
            assert target.stat().st_size == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as somebody else")
def test_a_users_file_runs_as_that_user(build: Build) -> None:
    user = pwd.getpwnam("daemon")
    path = build(PROBE)
    os.chown(path, user.pw_uid, user.pw_gid)
    with opened(path) as library:
        assert library.call("user") == user.pw_uid
        assert library.call("group") == user.pw_gid


@pytest.mark.parametrize(
    ("name", "message"),
    [("crash", "SIGSEGV"), ("leave", r"exit status 0|ended"), ("babble", "makes no sense|too long")],
)
def test_a_hostile_function_costs_one_line(build: Build, name: str, message: str) -> None:
    with opened(build(PROBE)) as library, pytest.raises(CalibrationError, match=message) as raised:
        library.call(name)
        library.call("user")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("answer", ["f" * 17, "-1", "0x1", "1_0", "", "é", "[" * 60000])
def test_a_forged_answer_is_refused(build: Build, answer: str) -> None:
    """The code can write to the helper's output what it likes."""
    text = answer.encode() + b"\n"
    with opened(build(PROBE)) as library, pytest.raises(CalibrationError, match="makes no sense in say"):
        library.call("say", library.place(text), len(text))
    text = b"1\n" + text  # the first line passes for what `say` gives, the second for the lines of the key log
    with opened(build(PROBE)) as library:
        assert library.call("say", library.place(text), len(text)) == 1
        try:
            assert library.keylog() == []
        except CalibrationError as error:
            assert "makes no sense in keylog" in str(error)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_function_that_hangs_is_ended(build: Build) -> None:
    began = time.monotonic()
    with opened(build(PROBE), seconds=1) as library:
        pids = [library._process.pid, *children(library._process.pid)]
        with pytest.raises(CalibrationError, match="takes too long in hang"):
            library.call("hang")
    assert time.monotonic() - began < 3
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the processes are gone")


HOSTILE_START = {
    "hangs": "for (;;) {}",
    "crashes": "*(volatile int *)8 = 1;",
    "leaves": "_exit(0);",
    "writes": 'for (int i = 0; i < 30000; i++) if (write(1, "4141414141414141\\n", 17) < 0) break;',
}


@pytest.mark.parametrize("code", HOSTILE_START)
def test_a_library_with_hostile_start_code_still_has_its_getters(tmp_path: Path, code: str) -> None:
    """The layout then rests on the code alone, and a note says why."""
    source = f"""
        #include <unistd.h>
        struct ssl {{ int version; char pad[12]; void *rbio; }};
        int SSL_version(struct ssl *s) {{ return s->version; }}
        void *SSL_get_rbio(struct ssl *s) {{ return s->rbio; }}
        int SSL_read(void) {{ return 0; }}
        int SSL_write(void) {{ return 0; }}
        __attribute__((constructor)) static void start(void) {{ {HOSTILE_START[code]} }}
    """
    path = tmp_path / "libssl.so.3"
    command = ["cc", "-x", "c", "-O2", "-shared", "-fPIC", "-Wl,-soname,libssl.so.3", "-o", str(path), "-"]
    subprocess.run(command, input=source.encode(), check=True)
    layout = learn_path(path, LearnOptions(use_cache=False, seconds=2))
    assert layout.paths == {"version": (0,), "rbio": (16,)}
    assert len(layout.notes) == 1
    assert layout.notes[0].startswith("calibration: ")
    assert "\n" not in layout.notes[0]


LIAR = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* A structure that shows one version and tells another, and key log lines for secrets that are nowhere. */
struct ssl { int version; int told; void *rbio, *wbio, *session, *cipher; };
static void (*keylog)(void *, const char *);
#define STUB(name) long name(void) { return 1; }
#define MADE(name) void *name(void) { return calloc(1, 4096); }
MADE(EC_KEY_new_by_curve_name) STUB(EC_KEY_generate_key) MADE(EVP_PKEY_new) STUB(EVP_PKEY_set1_EC_KEY) MADE(EVP_sha256)
MADE(X509_new) STUB(X509_set_version) MADE(X509_getm_notBefore) MADE(X509_getm_notAfter) STUB(X509_gmtime_adj)
STUB(X509_set_pubkey) MADE(X509_get_serialNumber) STUB(ASN1_INTEGER_set) STUB(X509_sign) MADE(TLS_method)
MADE(SSL_CTX_new) STUB(SSL_CTX_use_certificate) STUB(SSL_CTX_use_PrivateKey) STUB(SSL_set_bio)
STUB(SSL_set_connect_state) STUB(SSL_set_accept_state) MADE(BIO_new) MADE(BIO_s_mem) MADE(BIO_new_socket)
STUB(BIO_method_type) STUB(SSL_read) STUB(SSL_write)
static int version;
long SSL_CTX_ctrl(void *c, int command, long value) { if (command == 124) version = value; return 1; }
void SSL_CTX_set_keylog_callback(void *c, void (*f)(void *, const char *)) { keylog = f; }
void *SSL_new(void *c) {
    struct ssl *s = calloc(1, sizeof *s);
    s->version = 0x0301; s->told = version;
    s->rbio = s; s->wbio = s; s->session = s; s->cipher = s;
    return s;
}
long SSL_do_handshake(struct ssl *s) {
    char line[300] = "CLIENT_RANDOM ";
    memset(line + 14, 'a', 64); line[78] = ' '; memset(line + 79, 'b', 96);
    keylog(s, line);
    return 1;
}
int SSL_version(struct ssl *s) { return version; }
void *SSL_get_rbio(struct ssl *s) { return s->rbio; }
void *SSL_get_wbio(struct ssl *s) { return (char *)s->wbio + 1; }
void *SSL_get_session(struct ssl *s) { return s->session; }
void *SSL_get_current_cipher(struct ssl *s) { return s->cipher; }
"""


def test_a_library_that_lies_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so.3"
    command = ["cc", "-x", "c", "-O2", "-shared", "-fPIC", "-Wl,-soname,libssl.so.3", "-o", str(path), "-"]
    subprocess.run(command, input=LIAR.encode(), check=True)
    layout = learn_path(path, LearnOptions(use_cache=False, seconds=5))
    # SSL_version does not read the structure, SSL_get_wbio does not give what is there, and no secret is anywhere.
    assert layout.paths.keys() <= {"rbio", "session", "cipher"}


def test_files_that_others_may_write_are_not_run(tmp_path: Path) -> None:
    path = tmp_path / "libssl.so.3"
    command = ["cc", "-x", "c", "-O2", "-shared", "-fPIC", "-Wl,-soname,libssl.so.3", "-o", str(path), "-"]
    subprocess.run(command, input=LIAR.encode(), check=True)
    for mode in (0o664, 0o646):
        path.chmod(mode)
        notes = learn_path(path, LearnOptions(use_cache=False)).notes
        assert notes == ("calibration: its group or everybody may write the file, so its code is not run",)
        allowed = learn_path(path, LearnOptions(use_cache=False, allow_writable=True))
        assert allowed.notes != notes
