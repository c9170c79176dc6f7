"""Small libraries with functions of OpenSSL's and BoringSSL's shape, made by this machine's compiler.

Their symbols and structures are known, so that they judge what is found in the stripped file.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

SOURCE = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct context { char begin[0x3d0]; void (*keylog_callback)(const void *ssl, const char *line); };
struct third { char begin[0x30]; uint8_t client_random[32]; };
struct ssl {
    char begin[0x28];
    struct context *context;
#ifdef POINTED
    struct third *s3;
#else
    char more[0x130];
    struct third here;
    struct third *s3;
#endif
    char end[64];
};
#ifdef POINTED
#define RANDOM(ssl) ((ssl)->s3->client_random)
#else
#define RANDOM(ssl) ((ssl)->here.client_random)
#endif

INLINE static int nss_keylog_int(const char *prefix, struct ssl *ssl, const uint8_t *first, size_t first_length,
                          const uint8_t *second, size_t second_length)
{
    const char *digits = "0123456789abcdef";
    size_t prefix_length, i;
    char *line, *at;

    if (ssl->context->keylog_callback == NULL)
        return 1;
    prefix_length = strlen(prefix);
    line = at = malloc(prefix_length + 2 * first_length + 2 * second_length + 3);
    if (!line)
        return 0;
    memcpy(at, prefix, prefix_length);
    at += prefix_length;
    *at++ = ' ';
    for (i = 0; i < first_length; i++) { *at++ = digits[first[i] >> 4]; *at++ = digits[first[i] & 15]; }
    *at++ = ' ';
    for (i = 0; i < second_length; i++) { *at++ = digits[second[i] >> 4]; *at++ = digits[second[i] & 15]; }
    *at = 0;
    ssl->context->keylog_callback(ssl, line);
    free(line);
    return 1;
}

__attribute__((noinline)) int ssl_log_rsa(struct ssl *ssl, const uint8_t *encrypted, size_t encrypted_length,
                                          const uint8_t *premaster, size_t length)
{
    if (encrypted_length < 8)
        return 0;
    return nss_keylog_int("RSA", ssl, encrypted, 8, premaster, length);
}

__attribute__((noinline)) int ssl_log_secret(struct ssl *ssl, const char *label, const uint8_t *secret, size_t length)
{
    return nss_keylog_int(label, ssl, RANDOM(ssl), 32, secret, length);
}

__attribute__((noinline)) int change_state(struct ssl *ssl, uint8_t *secrets, size_t length, int which)
{
    if (!ssl_log_secret(ssl, "CLIENT_TRAFFIC_SECRET_0", secrets, length))
        return 0;
    if (which && !ssl_log_secret(ssl, "EXPORTER_SECRET", secrets + 48, length))
        return 0;
    return puts("EXPORTER_SECRET") + ssl_log_rsa(ssl, secrets, length, secrets, length);
}

__attribute__((noinline)) int finish(struct ssl *ssl, uint8_t *secret)
{
    return ssl_log_secret(ssl, "CLIENT_RANDOM", secret, 48);
}

__attribute__((visibility("default"))) int main(int count, char **arguments)
{
    return change_state((void *)arguments, (void *)arguments, count, count > 1) + finish((void *)arguments, 0);
}
"""


@dataclass(frozen=True)
class Truth:
    """The stripped file, and the addresses of its functions (of those that the compiler kept apart)."""

    path: Path
    functions: dict[str, int]


def compile_keylog_library(folder: Path, *options: str) -> Truth:
    """options: the compiler's, with -DINLINE=… for how nss_keylog_int is declared; -DPOINTED for BoringSSL's way."""
    path, stripped = folder / "keylog", folder / "keylog.stripped"
    subprocess.run(
        ["cc", "-fvisibility=hidden", "-x", "c", "-", "-o", path, *options], input=SOURCE.encode(), check=True
    )
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        functions = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    subprocess.run(["strip", "-o", stripped, path], check=True)
    return Truth(stripped, functions)
