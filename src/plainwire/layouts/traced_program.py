"""Calls functions inside a program that was started and stopped before its first instruction, by ptrace(2).

An executable can't be opened like a library, but the TLS library that is linked into it can be used all the same: once
the dynamic loader has done its work and is about to jump to the program's entry, the C library is ready, and `main` has
not begun and never will. A call sets the argument registers and lets the function return to an address where nothing
can be mapped; the fault there says that it has returned. The keylog callback is such an address too.

Runs inside the calibration helper: imports nothing that loads a libcrypto.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable

# <linux/ptrace.h>, <linux/elf.h>, <linux/auxvec.h>
PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS, PTRACE_GETREGSET, PTRACE_SETREGSET = 0, 7, 0x4200, 0x4204, 0x4205
PTRACE_O_EXITKILL = 0x100000
NT_PRSTATUS = 1
AT_PHDR, AT_ENTRY = 3, 9

# Below vm.mmap_min_addr, and multiples of 4, as arm64 wants of an address to jump to.
RETURN_ADDRESS, KEYLOG_ADDRESS = 0x100, 0x200
STACK_ROOM = 1 << 20  # for placed buffers, below the stack pointer at entry; the calls' own stack lies below it
MAX_KEYLOG_LINE = 1024


class _Registers:
    """struct user_regs_struct of <sys/user.h> on this machine: which of its 64-bit numbers are what."""

    if os.uname().machine == "x86_64":
        count, pc, sp, result = 27, 16, 19, 10
        link: int | None = None
        arguments = (14, 13, 12, 11, 9, 8)  # rdi, rsi, rdx, rcx, r8, r9
        # rax: no vector arguments; orig_rax: no system call to restart
        cleared: tuple[tuple[int, int], ...] = ((10, 0), (15, (1 << 64) - 1))
        breakpoint, after_breakpoint = b"\xcc", 1
    else:
        count, pc, sp, result = 34, 32, 31, 0
        arguments = (0, 1, 2, 3, 4, 5)
        cleared = ()
        link = 30
        breakpoint, after_breakpoint = b"\x00\x00\x20\xd4", 0


class ProgramError(Exception):
    """The program did not do what was asked of it."""


class TracedProgram:
    """The executable open as `descriptor`, stopped at its entry. entry: its address as linked.

    before_exec runs in the new process. Addresses of functions are as linked, too.
    """

    keylog_address = KEYLOG_ADDRESS

    def __init__(self, descriptor: int, entry: int, before_exec: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        self._libc.ptrace.restype = ctypes.c_long
        self.keylog: list[str] = []
        self.pid = os.fork()
        if self.pid == 0:
            try:
                before_exec()
                self._ptrace(PTRACE_TRACEME)
                os.execve(descriptor, ["calibration"], {"OPENSSL_CONF": "/dev/null", "LC_ALL": "C"})
            finally:
                os._exit(127)
        self._wait_for(signal.SIGTRAP, "start")
        self._ptrace(PTRACE_SETOPTIONS, 0, PTRACE_O_EXITKILL)
        self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        self._run_to_entry(entry)
        self._at_entry = self._registers()
        self._buffers = self._at_entry[_Registers.sp] - 4096 & ~0xF
        self._stack = self._buffers - STACK_ROOM

    def _ptrace(self, request: int, address: int = 0, data: int = 0) -> None:
        if self._libc.ptrace(request, self.pid, address, data) < 0:
            raise ProgramError(f"ptrace: {os.strerror(ctypes.get_errno())}")

    def _wait_for(self, expected: int, doing: str) -> None:
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            ended = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
            raise ProgramError(f"the program ended ({ended}) in {doing}")
        if os.WSTOPSIG(status) != expected:
            raise ProgramError(f"the program got {signal.Signals(os.WSTOPSIG(status)).name} in {doing}")

    def _registers(self) -> list[int]:
        return list(struct.unpack(f"{_Registers.count}Q", self._register_set(PTRACE_GETREGSET, None)))

    def _set_registers(self, registers: list[int]) -> None:
        self._register_set(PTRACE_SETREGSET, struct.pack(f"{_Registers.count}Q", *registers))

    def _register_set(self, request: int, values: bytes | None) -> bytes:
        size = 8 * _Registers.count
        area = ctypes.create_string_buffer(values or b"", size)
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(area), size)
        self._ptrace(request, NT_PRSTATUS, ctypes.addressof(vector))
        return area.raw

    def _run_to_entry(self, entry: int) -> None:
        with open(f"/proc/{self.pid}/auxv", "rb") as file:  # noqa: PTH123 - pathlib is a needless import here
            auxv = dict(struct.iter_unpack("QQ", file.read()))
        at = auxv[AT_ENTRY]
        self._bias = at - entry
        original = os.pread(self._memory, len(_Registers.breakpoint), at)
        os.pwrite(self._memory, _Registers.breakpoint, at)
        self._ptrace(PTRACE_CONT)
        self._wait_for(signal.SIGTRAP, "loading")
        os.pwrite(self._memory, original, at)

    def place(self, size: int) -> int:
        """The address of `size` zeroed bytes."""
        self._buffers -= size + 15 & ~0xF
        if self._buffers < self._stack:
            raise ProgramError("too many buffers")
        os.pwrite(self._memory, bytes(size), self._buffers)
        return self._buffers

    def call(self, name: str, file: int, address: int, arguments: list[int]) -> int:
        """What the function at `address` returns, all 64 bits of it."""
        registers = list(self._at_entry)
        for number, value in _Registers.cleared:
            registers[number] = value
        for number, value in zip(_Registers.arguments, arguments, strict=False):
            registers[number] = value
        registers[_Registers.pc] = address + self._bias
        registers[_Registers.sp] = self._stack
        if _Registers.link is None:
            registers[_Registers.sp] -= 8
            os.pwrite(self._memory, struct.pack("Q", RETURN_ADDRESS), registers[_Registers.sp])
        else:
            registers[_Registers.link] = RETURN_ADDRESS
        while True:
            self._set_registers(registers)
            self._ptrace(PTRACE_CONT)
            self._wait_for(signal.SIGSEGV, name)
            registers = self._registers()
            if registers[_Registers.pc] == RETURN_ADDRESS:
                return registers[_Registers.result]
            if registers[_Registers.pc] != KEYLOG_ADDRESS:
                raise ProgramError(f"the program got SIGSEGV in {name}")
            line = os.pread(self._memory, MAX_KEYLOG_LINE, registers[_Registers.arguments[1]])
            self.keylog.append(line.split(b"\0")[0].decode("ascii", "replace"))
            self._return(registers)

    def _return(self, registers: list[int]) -> None:
        """Does what the callback's `ret` would."""
        if _Registers.link is None:
            registers[_Registers.pc] = struct.unpack("Q", os.pread(self._memory, 8, registers[_Registers.sp]))[0]
            registers[_Registers.sp] += 8
        else:
            registers[_Registers.pc] = registers[_Registers.link]
