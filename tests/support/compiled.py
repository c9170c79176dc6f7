"""Small ELF files made by this machine's compiler."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

SOURCE = """
#include <unistd.h>
int SSL_read(void *ssl, void *buffer, int size) { return read(0, buffer, size); }
__attribute__((visibility("hidden"))) int SSL_write(void *ssl) { return 7; }
static int SSL_free(void) { return 9; }
int use(void) { return SSL_write(0) + SSL_free(); }
int (*keep)(void) = SSL_free;
int SSL_is_data = 3;
char nothing[4096];
"""

COMPILE = ["cc", "-shared", "-fPIC", "-O0", "-Wl,--build-id=sha1", "-x", "c", "-"]


def compile_library(folder: Path, *options: str, source: str = SOURCE, soname: str = "libsmall.so.4") -> Path:
    """A shared library; by default with SSL_read exported, SSL_write and SSL_free in .symtab alone."""
    path = folder / "libsmall.so"
    subprocess.run([*COMPILE, f"-Wl,-soname,{soname}", "-o", path, *options], input=source.encode(), check=True)
    return path


def functions(names: Collection[str], *, before: str = "") -> str:
    """C source of functions that do nothing."""
    return "\n".join(f"{before} int {name}(void) {{ return {index}; }}" for index, name in enumerate(names))
