"""The process in which a foreign library's functions are called: confined first, then told what to call, line by line.

Run by calls.py. The first line of standard input is a JSON object (see `main` and `serve`); each one after is
`call NAME NUMBER…`, `place SIZE` (memory of that size) or `keylog`. Each is answered by one line: a number in
hexadecimal, JSON for `keylog`, or `error …`.

It must import nothing that loads a libcrypto of its own (hashlib, ssl): the dynamic linker would give that one to the
library, since it goes by soname.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from plainwire.layouts.traced_program import ProgramError, TracedProgram

MAX_MEMORY = 4 << 30
MAX_KEYLOG_LINES = 64
# <linux/prctl.h>, <linux/sched.h>
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000


def confine(uid: int | None, gid: int | None, seconds: int) -> None:
    """Gives up the network, privileges and resources, before anything of the library runs.

    uid None: stay who we are. seconds: of processor time.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    as_root = os.geteuid() == 0
    # Where the system lets no one make namespaces, the library runs with the network; it is its owner's in any case.
    libc.unshare(CLONE_NEWNET | CLONE_NEWIPC | (0 if as_root else CLONE_NEWUSER))
    if uid is not None and gid is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: MAX_MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def forbid_processes() -> None:
    """Nothing that the library starts may outlive the time limit, so it may start nothing."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


class OpenedLibrary:
    """The library and what it needs, opened in this process. descriptors: of the files, the library's first.

    The files are opened through their descriptors, so that nobody can exchange them and no directory needs to be
    readable; what the library needs comes before it, so that the dynamic linker finds it by its soname.
    """

    def __init__(self, descriptors: list[int]) -> None:
        self.pid = os.getpid()
        self.keylog: list[str] = []
        self._kept: list[Any] = []  # buffers and callbacks, which must not be collected
        self._bases: dict[int, int] = {}
        for index in reversed(range(len(descriptors))):
            library = ctypes.CDLL(f"/proc/self/fd/{descriptors[index]}", mode=os.RTLD_LAZY | os.RTLD_LOCAL)
            # The handle is a struct link_map (<link.h>), whose first field is what was added to the file's addresses.
            self._bases[index] = ctypes.c_uint64.from_address(library._handle).value
            self._kept.append(library)
        callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(self._on_keylog)
        self._kept.append(callback)
        self.keylog_address = ctypes.cast(callback, ctypes.c_void_p).value or 0

    def _on_keylog(self, _ssl: int, line: bytes) -> None:
        if len(self.keylog) < MAX_KEYLOG_LINES:
            self.keylog.append(line.decode("ascii", "replace"))

    def place(self, size: int) -> int:
        """The address of `size` zeroed bytes."""
        self._kept.append(ctypes.create_string_buffer(size))
        return ctypes.addressof(self._kept[-1])

    def call(self, _name: str, file: int, address: int, arguments: list[int]) -> int:
        """What the function at `address` of a file returns, all 64 bits of it."""
        function = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(arguments))(self._bases[file] + address)
        return int(function(*arguments))


def _has_own_tls_library() -> bool:
    maps = Path("/proc/self/maps").read_text(errors="replace")
    return "/libcrypto" in maps or "/libssl" in maps


def serve(request: dict[str, Any], lines: Any, answers: Any) -> None:
    """Opens what `request` names and answers `lines` until there are no more."""

    def answer(text: str) -> None:
        answers.write(text + "\n")
        answers.flush()

    target: OpenedLibrary | TracedProgram
    try:
        if request["entry"] is not None:
            target = TracedProgram(request["descriptors"][0], request["entry"], forbid_processes)
            forbid_processes()
        else:
            forbid_processes()
            target = OpenedLibrary(request["descriptors"])
        answer(f"{target.pid:x}")
        for line in lines:
            command, *words = line.split()
            if command == "call":
                file, address = request["functions"][words[0]]
                arguments = [target.keylog_address if word == "KEYLOG" else int(word, 16) for word in words[1:]]
                answer(f"{target.call(words[0], file, address, arguments):x}")
            elif command == "place":
                answer(f"{target.place(int(words[0], 16)):x}")
            else:
                answer(json.dumps(target.keylog))
    except (OSError, ProgramError) as error:
        answer("error " + str(error).replace("\n", " "))


def main() -> None:
    request = json.loads(sys.stdin.readline())
    own = _has_own_tls_library()
    confine(request["uid"], request["gid"], request["seconds"])
    if own and request["entry"] is None:
        print("error this Python interpreter has loaded a TLS library of its own", flush=True)
        return
    serve(request, sys.stdin, sys.stdout)
