"""Where values stand in the SSL structure, read from the machine code of the library's own getters.

Needs nothing but the file: it serves other machines' files, statically linked programs and libraries of other C
libraries, as long as the getters have names (.dynsym or .symtab).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from plainwire.inspect.elf import ElfFile

from .layout import Path
from .loads import trace

# Functions of <openssl/ssl.h> and <openssl/bio.h>, which give one field each.
SSL_GETTERS = (
    "SSL_version", "SSL_get_rbio", "SSL_get_wbio", "SSL_get_session", "SSL_get_client_random", "SSL_is_server",
    "SSL_get_current_cipher", "SSL_SESSION_get0_cipher", "SSL_SESSION_get_master_key", "SSL_CIPHER_get_id",
    "SSL_CIPHER_get_protocol_id",
)  # fmt: skip
BIO_GETTERS = ("BIO_method_type", "BIO_get_retry_reason", "BIO_get_data")
SUPPORTED_MACHINES = ("x86_64", "aarch64")


def layout_by_getters(files: Sequence[ElfFile], *, single_path_only: bool) -> dict[str, Path]:
    """The path of each value that the getters give away, by the value's name.

    files: the library, then the ones that it takes its BIO functions from. single_path_only: take a getter's answer
    only if every path through it gives the same (BoringSSL keeps sessions in several places, by the handshake's state).
    """
    returned: dict[str, Path] = {}
    copied: dict[str, Path] = {}
    for name, (file, address) in find_functions(files, SSL_GETTERS + BIO_GETTERS).items():
        if file.machine in SUPPORTED_MACHINES:
            found = trace(_Readable(file), address)
            returned |= _only(name, [value.loads for value in found.returns], single_path_only)
            copied |= _only(name, [(*value.loads, value.add) for value in found.copies], single_path_only)
    return _paths(returned, copied)


def returned_place(file: ElfFile, address: int) -> Path | None:
    """The place in its argument's structure from which the function at `address` returns a value, if it is clear."""
    answers = [value.loads for value in trace(_Readable(file), address).returns]
    return _only("", answers, single_path_only=False).get("")


def _only(name: str, answers: list[tuple[int, ...]], single_path_only: bool) -> dict[str, Path]:
    """{name: path} if the getter's answer is clear.

    OpenSSL has a case for QUIC objects (3.2) and one for buffered writes, which take more loads than the plain case.
    """
    shortest = min(map(len, answers), default=0)
    plain = {answer for answer in answers if single_path_only or len(answer) == shortest}
    return {name: plain.pop()} if len(plain) == 1 else {}


def _paths(returned: Mapping[str, Path], copied: Mapping[str, Path]) -> dict[str, Path]:
    """Joins the getters of the SSL structure with those of what it points to."""
    paths: dict[str, Path] = {}

    def join(name: str, first: Path | None, then: Path | None) -> None:
        if first is not None and then is not None:
            paths[name] = first + then

    start: Path = ()
    join("version", start, returned.get("SSL_version"))
    join("rbio", start, returned.get("SSL_get_rbio"))
    join("wbio", start, returned.get("SSL_get_wbio"))
    join("session", start, returned.get("SSL_get_session"))
    join("client_random", start, copied.get("SSL_get_client_random"))
    join("server", start, returned.get("SSL_is_server"))
    rbio, session = paths.get("rbio"), paths.get("session")
    join("bio_fd", rbio, _descriptor(returned))
    join("bio_method", rbio, returned.get("BIO_method_type", ())[:1] or None)
    join("bio_type", rbio, returned.get("BIO_method_type"))
    join("master_key", session, copied.get("SSL_SESSION_get_master_key"))
    join("master_key_length", session, returned.get("SSL_SESSION_get_master_key"))
    join("cipher", start, returned.get("SSL_get_current_cipher"))
    if "cipher" not in paths:
        join("cipher", session, returned.get("SSL_SESSION_get0_cipher"))
    cipher_id = returned.get("SSL_CIPHER_get_id", returned.get("SSL_CIPHER_get_protocol_id"))
    join("cipher_id", paths.get("cipher"), cipher_id)
    return paths


def _descriptor(returned: Mapping[str, Path]) -> Path | None:
    """Where a BIO keeps its descriptor, `num`. No function gives it away, but its neighbours' do.

    It stands between `retry_reason` and `ptr` in every OpenSSL and BoringSSL (struct bio_st); there must be room for
    this one number of 4 bytes and no more than the padding that `ptr` needs.
    """
    before, after = returned.get("BIO_get_retry_reason"), returned.get("BIO_get_data")
    if before is None or after is None or len(before) != 1 or len(after) != 1:
        return None
    descriptor = before[0] + 4
    return (descriptor,) if after[0] == (descriptor + 4 + 7 & ~7) else None


def find_functions(files: Sequence[ElfFile], names: Iterable[str]) -> dict[str, tuple[ElfFile, int]]:
    """The file and address of each function, from the first file that defines it."""
    found: dict[str, tuple[ElfFile, int]] = {}
    missing = list(names)
    for file in files:
        for name, symbol in file.symbols(missing).items():
            found[name] = file, symbol.address
        missing = [name for name in missing if name not in found]
    return found


class _Readable:
    """A file's code, of which any amount may be asked for."""

    def __init__(self, file: ElfFile) -> None:
        self._file = file
        self.machine = file.machine

    def read(self, address: int, size: int) -> bytes:
        for segment in self._file.executable_segments:
            left = segment.address + segment.file_size - address
            if 0 < left <= segment.file_size:
                return self._file.read(address, min(size, left))
        return b""
