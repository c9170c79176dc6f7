from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainwire.inspect.elf import ElfFile
from plainwire.layouts.loads import trace

SOURCE = """
#include <stddef.h>
#include <string.h>
struct method { int type; const char *name; };
struct bio { void *context; const struct method *method; };
struct session { int version; size_t length; char pad[0x40]; unsigned char key[48]; };
struct ssl {
    int type; int version; struct bio *rbio, *wbio, *buffer; char pad[0x900]; struct session *session;
    unsigned char random[32];
};
extern struct ssl *inner(struct ssl *);
extern struct bio *next(struct bio *);

/* As in OpenSSL, a macro. */
#define checked(s) (!(s) ? NULL : (s)->type == 0 ? (s) : (s)->type & 0x80 ? inner(s) : NULL)

int get_version(struct ssl *s) { s = checked(s); return s ? s->version : 0; }
struct bio *get_rbio(struct ssl *s) { /* a QUIC object keeps it elsewhere */
    if (!s) return NULL;
    return s->type == 0 ? s->rbio : s->type <= 2 ? s->buffer : NULL;
}
struct bio *get_wbio(struct ssl *s) {
    s = checked(s);
    if (!s) return NULL;
    return s->buffer ? next(s->buffer) : s->wbio;
}
int method_type(const struct bio *b) { return b->method->type; }
const unsigned char *get_key(struct ssl *s) { return s->session ? s->session->key : NULL; }
size_t get_master_key(const struct session *s, unsigned char *out, size_t size) {
    if (!size) return s->length;
    if (size > s->length) size = s->length;
    memcpy(out, s->key, size);
    return size;
}
size_t get_random(const struct ssl *s, unsigned char *out, size_t size) {
    if (!size) return 32;
    if (size > 32) size = 32;
    memcpy(out, s->random, size);
    return size;
}
size_t get_whole_random(const struct ssl *s, unsigned char *out) { memcpy(out, s->random, 32); return 32; }
void clear(struct ssl *s) { for (int i = 0; i < 32; i++) s->random[i] = 0; }
"""

VERSION, RBIO, WBIO, RANDOM = 4, 8, 0x10, 0x928
LENGTH, KEY = 8, 0x50


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
def test_reads_getters_however_they_were_compiled(tmp_path: Path, level: str) -> None:
    library = tmp_path / "getters.so"
    command = ["cc", "-x", "c", "-shared", "-fPIC", level, "-o", str(library), "-"]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    with ElfFile(library) as elf:
        names = ["get_version", "get_rbio", "get_wbio", "method_type", "get_key", "get_master_key", "get_random",
                 "get_whole_random", "clear"]  # fmt: skip
        address = {name: symbol.address for name, symbol in elf.symbols(names).items()}

        def returned(name: str) -> set[tuple[int, ...]]:
            return {value.loads for value in trace(elf, address[name]).returns}

        def copied(name: str) -> set[tuple[tuple[int, ...], int]]:
            return {(value.loads, value.add) for value in trace(elf, address[name]).copies}

        assert returned("get_version") == {(VERSION,)}
        assert returned("get_rbio") == {(RBIO,)}
        assert returned("get_wbio") == {(WBIO,)}
        assert returned("method_type") == {(8, 0)}
        assert returned("get_master_key") == {(LENGTH,)}
        assert copied("get_master_key") == {((), KEY)}
        assert copied("get_random") == {((), RANDOM)}
        assert copied("get_whole_random") == {((), RANDOM)}
        assert returned("get_random") == set()
        assert trace(elf, address["clear"]).copies == []


class Bytes:
    """Code that is any bytes at all."""

    def __init__(self, machine: str, code: bytes) -> None:
        self.machine = machine
        self._code = code

    def read(self, address: int, size: int) -> bytes:
        return self._code[address : address + size] if address >= 0 else b""


@settings(max_examples=300, deadline=None)
@given(machine=st.sampled_from(["x86_64", "aarch64"]), code=st.binary(max_size=512))
def test_any_bytes_are_followed_without_harm(machine: str, code: bytes) -> None:
    found = trace(Bytes(machine, code), 0)
    for value in found.returns + found.copies:
        assert value.root == "arg0"
