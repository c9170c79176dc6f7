"""Reads another process's memory."""

from __future__ import annotations

import errno
import os
import struct
from types import TracebackType
from typing import Self

from plainwire.errors import InputError, PermissionMissingError


class ProcessMemory:
    """The memory of a process; use it as a context manager. Raises InputError when there is none to be had."""

    def __init__(self, pid: int, *, writable: bool = False) -> None:
        try:
            self._descriptor = os.open(f"/proc/{pid}/mem", (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except PermissionError:
            raise PermissionMissingError(
                f"not allowed to read the memory of process {pid}: it needs root, or the capability CAP_SYS_PTRACE"
            ) from None
        except OSError as error:
            raise InputError(f"cannot read the memory of process {pid}: {error.strerror}") from None

    def read(self, address: int, size: int) -> bytes:
        """Up to `size` bytes at `address`: fewer where the mapping ends, none where nothing is mapped."""
        if not 0 <= address < 1 << 63:
            return b""
        try:
            return os.pread(self._descriptor, size, address)
        except OSError:
            return b""

    def write(self, address: int, data: bytes) -> None:
        """Raises OSError when the bytes can't be written."""
        if not 0 <= address < 1 << 63:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        os.pwrite(self._descriptor, data, address)

    def pointer(self, address: int) -> int | None:
        """The 64-bit number at `address`; None where nothing is mapped."""
        data = self.read(address, 8)
        return int(struct.unpack("<Q", data)[0]) if len(data) == 8 else None

    def follow(self, base: int, path: tuple[int, ...]) -> int | None:
        """Where the value of a layout's path stands, beginning at an SSL structure's address."""
        address = base
        for offset in path[:-1]:
            pointer = self.pointer(address + offset)
            if not pointer:
                return None
            address = pointer
        return address + path[-1]

    def value(self, base: int, path: tuple[int, ...], size: int) -> bytes:
        """The `size` bytes at the end of a path; b"" where it can't be followed."""
        address = self.follow(base, path)
        data = self.read(address, size) if address is not None else b""
        return data if len(data) == size else b""

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
