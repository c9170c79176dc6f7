"""The binding to libbpf.so.1, by cffi in ABI mode. The build makes `_libbpf` of the declarations, bindings/libbpf.h."""

from __future__ import annotations

import errno
import os
import threading
from typing import Any

from plainwire.errors import PlainwireError
from plainwire.kernel import _libbpf
from plainwire.kernel.capabilities import missing_capabilities

ffi = _libbpf.ffi


class KernelError(PlainwireError):
    """The kernel refused; `number` is the errno."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def _open_library() -> Any:
    try:
        return ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise PlainwireError(
            f"libbpf.so.1 can't be opened ({error}); install it: apt-get install libbpf1, dnf install libbpf"
        ) from None


class _Messages(threading.local):
    """What libbpf has said in this thread."""

    def __init__(self) -> None:
        self.texts: list[str] = []


lib = _open_library()
_messages = _Messages()
_LIBBPF_DEBUG = 2  # enum libbpf_print_level


@ffi.callback("int(int, const char *, void *)")  # type: ignore[untyped-decorator]
def _keep_message(level: int, message_format: Any, arguments: Any) -> int:
    if level == _LIBBPF_DEBUG:  # some thousand lines at each start
        return 0
    text = ffi.new("char[]", 65536)
    lib_c.vsnprintf(text, 65536, message_format, arguments)
    _messages.texts.append(ffi.string(text).decode(errors="replace"))
    return 0


lib_c = ffi.dlopen(None)
lib.libbpf_set_print(_keep_message)


def take_messages() -> str:
    """What libbpf has said in this thread since the last call. It is not shown: errors carry its useful lines."""
    text = "".join(_messages.texts)
    _messages.texts.clear()
    return text


def check(result: int, what: str) -> int:
    """`result` if it is no error (libbpf and bpf(2) return -errno); else an error that says what failed and why."""
    if result < 0:
        raise kernel_error(-result, what)
    return result


def check_pointer(pointer: Any, what: str) -> Any:
    """`pointer` if it isn't NULL; else an error from errno, which libbpf 1.x sets."""
    if pointer == ffi.NULL:
        raise kernel_error(ffi.errno, what)
    return pointer


def kernel_error(number: int, what: str) -> KernelError:
    """The error that says what errno `number` means for the user."""
    reason = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if number in (errno.EPERM, errno.EACCES):
        lacking = missing_capabilities()
        if lacking:
            return KernelError(number, f"{what}: {reason}: {' and '.join(lacking)} missing; run it with sudo")
        reason += ", though no capability is missing: a security module, lockdown or a container's seccomp forbids it"
    return KernelError(number, f"{what}: {reason}")
