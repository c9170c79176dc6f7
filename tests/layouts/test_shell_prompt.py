"""The one call by which a shell reads commands, found in builds of Debian's releases for two machines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import capstone
import pytest
from elftools.elf.elffile import ELFFile

from plainwire.errors import InputError
from plainwire.inspect.elf import ElfFile
from plainwire.inspect.shell_program import SHELLS, identify_shell, login_shells, shell_version
from plainwire.layouts.call_sites import find_calls
from plainwire.layouts.shell_prompt import find_prompt
from tests.support.compiled import compile_library, functions
from tests.support.debian import unpacked

BUILDS = [("bullseye", "amd64"), ("bookworm", "arm64"), ("sid", "amd64")]
VERSIONS = {"bullseye": ("5.1", "5.8"), "bookworm": ("5.2", "5.9"), "sid": ("5.", "5.")}


def program(release: str, architecture: str, name: str) -> Path:
    root = unpacked(release, architecture, "bash", "zsh")
    return next(path for path in (root / "bin" / name, root / "usr" / "bin" / name) if path.is_file())


def symbols(path: Path) -> dict[str, int]:
    """Addresses by name, as pyelftools reads .dynsym."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize(("release", "architecture"), BUILDS)
def test_debians_builds(release: str, architecture: str, name: str) -> None:
    path = program(release, architecture, name)
    addresses = symbols(path)
    with ElfFile(path) as elf:
        shell = identify_shell(elf)
        assert shell is not None and shell.name == name
        assert (shell_version(elf, shell) or "").startswith(VERSIONS[release][name == "zsh"])
        prompt = find_prompt(elf, shell)
        code = elf.read(prompt.call, 32)
    assert prompt.exit_status == addresses[shell.exit_status]
    if name == "bash":
        assert prompt.current_prompt == addresses["current_prompt_string"]
        assert prompt.first_prompt == addresses["ps1_prompt"]
    machine = {
        "amd64": capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64),
        "arm64": capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN),
    }[architecture]
    call, following = list(machine.disasm(code, prompt.call))[:2]
    assert call.mnemonic in ("call", "bl")
    assert int(call.op_str.removeprefix("#"), 16) == addresses[shell.reads_by]
    assert prompt.line == following.address


@pytest.mark.parametrize(("release", "architecture"), BUILDS)
def test_bash_calls_readline_for_secrets_too(release: str, architecture: str) -> None:
    """So that the choice among the calls is one."""
    with ElfFile(program(release, architecture, "bash")) as elf:
        assert len(find_calls(elf, "readline")) > 1


def test_calls_are_those_that_a_disassembler_sees() -> None:
    path = program("bullseye", "amd64", "zsh")
    addresses = symbols(path)
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    with path.open("rb") as file:
        text = ELFFile(file).get_section_by_name(".text")
        start, code = text["sh_addr"], text.data()
    wanted = hex(addresses["zleentry"])
    seen = {
        address
        for address, _, mnemonic, operands in disassembler.disasm_lite(code, start)
        if mnemonic == "call" and operands == wanted
    }
    with ElfFile(path) as elf:
        assert {site.call for site in find_calls(elf, "zleentry")} == seen and len(seen) > 5


def test_a_shell_that_cannot_edit_lines(tmp_path: Path) -> None:
    source = functions(["parse_command"]) + "int last_command_exit_value;"
    with ElfFile(compile_library(tmp_path, source=source)) as elf:
        shell = identify_shell(elf)
        assert shell == SHELLS[0]
        with pytest.raises(InputError, match="never calls readline"):
            find_prompt(elf, shell)


def test_two_calls_that_look_alike_are_refused(tmp_path: Path) -> None:
    """Secrets might be typed at one of them."""
    source = """
    char *current_readline_line, *current_prompt_string, *ps1_prompt;
    int last_command_exit_value;
    char *readline(const char *prompt);
    void parse_command(void) { current_readline_line = readline("1"); }
    void read_builtin(void) { current_readline_line = readline("2"); }
    int main(void) { parse_command(); read_builtin(); }
    """
    program = tmp_path / "bash"
    compiler = ["cc", "-O2", "-rdynamic", "-x", "c", "-", "-o", program, "-lreadline"]
    subprocess.run(compiler, input=source.encode(), check=True)
    with ElfFile(program) as elf, pytest.raises(InputError, match=r"[24] of the"):  # main has copies of both
        find_prompt(elf, SHELLS[0])


def test_other_programs_are_no_shells(tmp_path: Path) -> None:
    with ElfFile(compile_library(tmp_path)) as elf:
        assert identify_shell(elf) is None
    with ElfFile("/bin/dash") as elf:
        assert identify_shell(elf) is None


def test_login_shells_are_those_of_the_machine() -> None:
    assert Path("/bin/bash") in login_shells()
