"""Which of this machine's login shells can be captured: a part of `plainwire doctor`."""

from __future__ import annotations

import os

import msgspec

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.shell_program import identify_shell, login_shells, shell_version
from plainwire.layouts.shell_prompt import find_prompt


class LoginShell(msgspec.Struct, frozen=True):
    """A program that /etc/shells names. module: what captures its commands; None: nothing, and `reason` says why."""

    path: str
    version: str | None
    module: str | None
    reason: str | None


def survey_login_shells() -> list[LoginShell]:
    """Each once, in the order of the list, whatever names it has there."""
    files = dict.fromkeys(os.path.realpath(path) for path in login_shells())
    return [_look(path) for path in files]


def _look(path: str) -> LoginShell:
    version = None
    try:
        with ElfFile(path) as elf:
            shell = identify_shell(elf)
            if shell is None:
                return LoginShell(path, None, None, "no bash and no zsh, or one whose functions have no names")
            version = shell_version(elf, shell)
            find_prompt(elf, shell)
    except InputError as error:
        return LoginShell(path, version, None, str(error))
    return LoginShell(path, version, shell.name, None)
