"""Says which interactive shell a file is: by the names that its plug-ins need, so that a stripped one has them too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from plainwire.inspect.elf import ElfFile


@dataclass(frozen=True, slots=True)
class Shell:
    """One kind of shell.

    reads_by: the function that it calls to have a command line typed. exit_status: its variable `$?`; function and
    variable together are defined by no other program. version: as it stands in the file.
    """

    name: str
    function: str
    exit_status: str
    reads_by: str
    version: re.Pattern[bytes]


SHELLS = (
    # eval.c and execute_cmd.c of bash; readline may be a library's.
    Shell("bash", "parse_command", "last_command_exit_value", "readline", re.compile(rb"@\(#\)Bash version ([\d.]+)")),
    # init.c and exec.c of zsh; its version stands in the path of its modules.
    Shell("zsh", "zleentry", "lastval", "zleentry", re.compile(rb"/zsh/(\d+\.\d+[\d.]*)\0")),
)


_LOGIN_SHELLS = Path("/etc/shells")


def login_shells() -> list[Path]:
    """The shells that this machine offers to users (shells(5)); none where it has no such list."""
    try:
        lines = _LOGIN_SHELLS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [Path(line.strip()) for line in lines if line.startswith("/")]


def identify_shell(elf: ElfFile) -> Shell | None:
    """The shell that a file is; None for nearly all. Takes microseconds. Raises InputError for a damaged file."""
    for shell in SHELLS:
        if elf.exported([shell.function]) and elf.exported_variable(shell.exit_status):
            return shell
    return None


def shell_version(elf: ElfFile, shell: Shell) -> str | None:
    """Its version, read from its constants."""
    match = shell.version.search(elf.section_bytes(".rodata") or b"")
    return match[1].decode() if match else None
