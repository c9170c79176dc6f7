from __future__ import annotations

import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from plainwire.inspect.elf import ElfFile
from plainwire.kernel import bpf_object
from plainwire.kernel.bpf_object import BpfObject
from plainwire.kernel.uprobes import attach_uprobes
from plainwire.layouts.layout import Finding, Layout
from plainwire.layouts.learn import LearnOptions, learn_path
from plainwire.layouts.packed_layout import FIELDS, pack_layout
from scripts.build_bpf import ARCHITECTURES, compiler
from tests.layouts.test_real_builds import system_library
from tests.support.certificate import Certificate

ROOT = Path(__file__).parents[2]

READER = """
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "layout.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct seen_t {
	__u32 fd, bio_type;
	__u16 version, cipher_id;
	__u8 client_random[32], master_key[48], client_secret[48], exporter[48];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct seen_t);
	__uint(max_entries, 64);
} seen SEC(".maps");

SEC("uprobe")
int probe_read_structure(struct pt_regs *ctx)
{
	__u32 library = (__u32)bpf_get_attach_cookie(ctx);
	struct library_layout_t *layout = bpf_map_lookup_elem(&library_layouts, &library);
	struct seen_t found = {};
	__u64 ssl = PT_REGS_PARM1(ctx);

	if (!layout)
		return 0;
	read_by_layout(&found.fd, 4, ssl, &layout->bio_fd);
	read_by_layout(&found.bio_type, 4, ssl, &layout->bio_type);
	read_by_layout(&found.version, 2, ssl, &layout->version);
	read_by_layout(&found.cipher_id, 2, ssl, &layout->cipher_id);
	read_by_layout(found.client_random, 32, ssl, &layout->client_random);
	read_by_layout(found.master_key, 48, ssl, &layout->master_key);
	read_by_layout(found.client_secret, 48, ssl, &layout->client_app_traffic_secret);
	read_by_layout(found.exporter, 48, ssl, &layout->exporter_master_secret);
	bpf_map_update_elem(&seen, &ssl, &found, BPF_ANY);
	return 0;
}
"""
SEEN = struct.Struct("=IIHH32s48s48s48s")

CONNECTION = """
import socket, ssl, sys, threading
version, certificate, key, log = ssl.TLSVersion[sys.argv[1]], *sys.argv[2:]
here, there = socket.socketpair()
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.create_default_context(cafile=certificate)
client.check_hostname = False
client.minimum_version = client.maximum_version = version
client.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
client.keylog_filename = log
accepted = []
thread = threading.Thread(target=lambda: accepted.append(server.wrap_socket(there, server_side=True)))
thread.start()
connected = client.wrap_socket(here)
thread.join()
sys.stdin.readline()
connected.send(b"hello")
print(connected.fileno(), flush=True)
sys.stdin.readline()
"""


def test_the_structure_is_packed_as_the_programs_see_it(tmp_path: Path) -> None:
    fields = ", ".join(f"(int)offsetof(struct library_layout_t, {name})" for name in FIELDS)
    source = f"""
        #include <stddef.h>
        #include <stdio.h>
        #include <linux/types.h>
        #include "abi.h"
        int main(void) {{
            int offsets[] = {{ {fields}, sizeof(struct library_layout_t) }};
            for (int i = 0; i < {len(FIELDS) + 1}; i++) printf("%d ", offsets[i]);
        }}
    """
    command = ["cc", "-x", "c", "-I", str(ROOT / "bpf"), "-o", str(tmp_path / "offsets"), "-"]
    subprocess.run(command, input=source.encode(), check=True)
    offsets = list(map(int, subprocess.check_output([str(tmp_path / "offsets")]).split()))
    values = {name: Finding.of({"getters": (8 * index, index)}) for index, name in enumerate(FIELDS)}
    values["rbio"] = Finding.of({"getters": (8,), "calibration": (16,)})
    packed = pack_layout(Layout("f", "i", None, "x86_64", "OpenSSL", None, values))
    assert len(packed) == offsets[-1]
    for index, name in enumerate(FIELDS):
        path = (0, 0, 0, 0, 0) if name == "rbio" else (2, 8 * index, index, 0, 0)
        assert struct.unpack_from("=5H", packed, offsets[index]) == path


@pytest.mark.bpf
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_programs_read_a_connections_values(
    version: str, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reader.bpf.c").write_text(READER)
    flags = ["-mcpu=v3", "-g", "-O2", f"-D__TARGET_ARCH_{ARCHITECTURES[platform.machine()]}"]
    includes = ["-I", str(ROOT / "bpf"), "-idirafter", "/usr/include"]
    built = tmp_path / "reader.o"
    subprocess.run([*compiler(), *flags, *includes, "-c", str(tmp_path / "reader.bpf.c"), "-o", built], check=True)
    monkeypatch.setattr(bpf_object, "object_path", lambda _name: built)
    library = system_library()
    with ElfFile(library) as elf:
        offset = elf.file_offset(elf.exported(["SSL_write_ex"])["SSL_write_ex"].address)
    log = tmp_path / "keys.log"
    arguments = [version, str(certificate.certificate), str(certificate.key), str(log)]
    with (
        BpfObject("reader") as reader,
        subprocess.Popen(
            [sys.executable, "-c", CONNECTION, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process,
    ):
        reader.load()
        reader.map("library_layouts").update(struct.pack("=I", 77), pack_layout(learn_path(library, LearnOptions())))
        program = reader.program("probe_read_structure")
        [link] = attach_uprobes(
            program, str(library), [offset], cookies=[77], at_return=False, pid=process.pid, multi=False
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        descriptor = int(process.stdout.readline())
        link.close()
        seen = reader.map("seen")
        [ssl] = seen.keys()
        value = seen.lookup(ssl)
        process.kill()
    assert value is not None
    fd, bio_type, seen_version, cipher, random, master_key, client_secret, exporter = SEEN.unpack(value[: SEEN.size])
    secrets = dict(re.findall(r"^(\S+) \S+ (\S+)$", log.read_text(), re.MULTILINE))
    assert (fd, bio_type) == (descriptor, 0x0505)  # BIO_TYPE_SOCKET of <openssl/bio.h>
    assert random.hex() == re.findall(r"^\S+ (\S{64}) \S+$", log.read_text(), re.MULTILINE)[0]
    if version == "TLSv1_2":
        assert (seen_version, cipher) == (0x0303, 0xC030)
        assert master_key.hex() == secrets["CLIENT_RANDOM"]
    else:
        assert (seen_version, cipher) == (0x0304, 0x1302)
        assert client_secret.hex() == secrets["CLIENT_TRAFFIC_SECRET_0"]
        assert exporter.hex() == secrets["EXPORTER_SECRET"]
