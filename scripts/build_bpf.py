"""Compiles bpf/*.bpf.c into src/plainwire/bpf_objects/, for x86-64 and arm64, and makes the bindings to C libraries.

Runs as hatchling's build hook, so that `pip install .` and `pip install -e .` leave the objects in place and a wheel
carries them; `python scripts/build_bpf.py` does the same alone. Uses clang where it is installed, else the ziglang
wheel's `zig cc`; both emit BTF and CO-RE relocations. Of bindings/NAME.h it makes src/plainwire/kernel/_NAME.py, so
that C declarations are not parsed at each start.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cffi
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "bpf"
OBJECTS = ROOT / "src" / "plainwire" / "bpf_objects"
DECLARATIONS = ROOT / "bindings"
BINDINGS = ROOT / "src" / "plainwire" / "kernel"
# Machine name as `uname -m` prints it -> the name that <bpf/bpf_tracing.h> expects.
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
LIBBPF_HEADER = Path("/usr/include/bpf/bpf_helpers.h")


def compiler() -> list[str]:
    """The command that compiles C for eBPF, up to the arguments that both compilers share."""
    clang = shutil.which("clang")
    if clang:
        return [clang, "-target", "bpfel"]
    if importlib.util.find_spec("ziglang") is None:
        sys.exit("build_bpf: no compiler for eBPF: install clang, or `pip install ziglang`")
    return [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding"]


def compile_object(command: list[str], source: Path, machine: str, folder: Path = OBJECTS) -> Path:
    """Compile one source for one machine, unless its object is newer than all it may depend on. Returns the object."""
    target = folder / f"{source.name.removesuffix('.bpf.c')}.{machine}.o"
    newest = max(path.stat().st_mtime for path in [source, *SOURCES.rglob("*.[ch]"), Path(__file__)])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    flags = ["-mcpu=v3", "-g", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-Wno-missing-declarations"]
    defines = [f"-D__TARGET_ARCH_{ARCHITECTURES[machine]}"]
    partial = target.with_suffix(".partial")
    includes = ["-iquote", str(SOURCES), "-idirafter", "/usr/include"]
    arguments = [*command, *flags, *defines, *includes, "-c", str(source), "-o", str(partial)]
    finished = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        sys.exit(f"build_bpf: {source.name} for {machine} does not compile:\n{finished.stderr}")
    partial.replace(target)
    print(f"build_bpf: {target.relative_to(ROOT) if target.is_relative_to(ROOT) else target}", file=sys.stderr)
    return target


def build() -> None:
    """Bring every object up to date. Exits with one line that says what is missing."""
    if not LIBBPF_HEADER.exists():
        sys.exit(f"build_bpf: {LIBBPF_HEADER} is missing: apt-get install libbpf-dev")
    OBJECTS.mkdir(exist_ok=True)
    command = compiler()
    sources = sorted(SOURCES.glob("*.bpf.c"))
    built = {compile_object(command, source, machine) for source in sources for machine in ARCHITECTURES}
    for stale in set(OBJECTS.iterdir()) - built:  # of a source that is gone
        stale.unlink()


def build_bindings() -> None:
    """Bring the bindings up to date."""
    for header in sorted(DECLARATIONS.glob("*.h")):
        target = BINDINGS / f"_{header.stem}.py"
        if not target.exists() or target.stat().st_mtime < max(header.stat().st_mtime, Path(__file__).stat().st_mtime):
            ffi = cffi.FFI()
            ffi.cdef(header.read_text())
            ffi.set_source(f"plainwire.kernel.{target.stem}", None)
            ffi.compile(tmpdir=str(ROOT / "src"))
            target.touch()  # it may have been the same already


class BpfBuildHook(BuildHookInterface[Any]):
    """Hatchling finds this class by its base."""

    def dependencies(self) -> list[str]:
        """What the build environment needs besides what pyproject.toml's [build-system] names."""
        return [] if shutil.which("clang") else ["ziglang>=0.13"]

    def initialize(self, _version: str, _build_data: dict[str, Any]) -> None:
        """Called before the wheel's files are collected."""
        build()
        build_bindings()


if __name__ == "__main__":
    build()
    build_bindings()
