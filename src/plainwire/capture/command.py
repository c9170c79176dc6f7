"""Starts the command that a capture was asked to run: as the user who called sudo, and not before it is let go."""

from __future__ import annotations

import os
import pwd
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from plainwire.errors import InputError


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who called sudo."""

    uid: int
    gid: int


def sudo_caller() -> Caller | None:
    """Who stands behind root: SUDO_UID and SUDO_GID of sudo(8). None where there is nobody else."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not uid.isdecimal() or not gid.isdecimal() or uid == "0":
        return None
    return Caller(int(uid), int(gid))


@dataclass(frozen=True, slots=True)
class _Identity:
    """What makes a process the caller's."""

    caller: Caller
    groups: tuple[int, ...]
    environment: dict[str, str]

    def take_on(self) -> None:
        """Turns this process, which is root's, into the caller's."""
        os.setgroups(self.groups)
        os.setgid(self.caller.gid)
        os.setuid(self.caller.uid)
        os.environ.update(self.environment)


class Command:
    """A child process that waits, before it runs its program, until `release()`.

    So it can be made a target while it can't yet send a byte.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        self.status: int | None = None  # exit status as a shell gives it: 128 + N for a signal
        caller = sudo_caller()
        identity = _identity(caller) if caller else None
        go_reader, self._go = os.pipe2(os.O_CLOEXEC)
        self._failure, failure_writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            self._run(go_reader, failure_writer, identity)
        os.close(go_reader)
        os.close(failure_writer)
        self.pidfd = os.pidfd_open(self.pid)

    def _run(self, go_reader: int, failure_writer: int, identity: _Identity | None) -> None:
        """In the child. Never returns."""
        try:
            if os.read(go_reader, 1):
                if identity:
                    identity.take_on()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                    signal.signal(number, signal.SIG_DFL)
                os.execvp(self.arguments[0], self.arguments)
        except OSError as error:
            os.write(failure_writer, (error.strerror or str(error)).encode())
        finally:
            os._exit(127)

    def release(self) -> None:
        """Let it run its program. Raises InputError if there is none of that name."""
        os.write(self._go, b"g")
        os.close(self._go)
        self._go = -1
        failure = os.read(self._failure, 4096)
        os.close(self._failure)
        if failure:
            self.wait()
            raise InputError(f"can't run {self.arguments[0]}: {failure.decode()}")

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self.status = 128 - code if code < 0 else code
        return self.status

    def wait_for(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        if self.status is None and not select.select([self.pidfd], [], [], seconds)[0]:
            return False
        self.wait()
        return True

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def close(self) -> None:
        """Give up its descriptors. A command that was never released sees its pipe closed, and ends."""
        if self._go >= 0:
            os.close(self._go)
            os.close(self._failure)
            self._go = -1
            self.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _identity(caller: Caller) -> _Identity:
    """Looked up before the fork: a look-up may load libraries, for which the child would be stopped as a target."""
    try:
        user = pwd.getpwuid(caller.uid)
    except KeyError:  # a user of a directory service that is away
        return _Identity(caller, (caller.gid,), {})
    environment = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
    return _Identity(caller, tuple(os.getgrouplist(user.pw_name, caller.gid)), environment)
