"""libpcap's own interpreter, and the kernel's way to run a classifier on bytes that are in no interface's queue."""

from __future__ import annotations

import ctypes
import os
import struct

import cffi

from plainwire.kernel.syscalls import bpf, load_program

BPF_PROG_TEST_RUN = 10
BPF_PROG_TYPE_SCHED_CLS = 3

ffi = cffi.FFI()
ffi.cdef(
    """
    typedef struct pcap pcap_t;
    struct bpf_program { unsigned int bf_len; void *bf_insns; };
    struct pcap_pkthdr { long seconds; long microseconds; uint32_t caplen; uint32_t len; };
    pcap_t *pcap_open_dead(int link_type, int snaplen);
    int pcap_compile(pcap_t *handle, struct bpf_program *program, const char *expression, int optimize, uint32_t mask);
    int pcap_offline_filter(const struct bpf_program *program, const struct pcap_pkthdr *header, const uint8_t *packet);
    """
)
libpcap = ffi.dlopen("libpcap.so.0.8")


class Oracle:
    """What libpcap says of a packet."""

    def __init__(self, expression: str, link_type: int) -> None:
        self._program = ffi.new("struct bpf_program *")
        handle = libpcap.pcap_open_dead(link_type, 262144)
        assert libpcap.pcap_compile(handle, self._program, expression.encode(), 1, 0xFFFFFFFF) == 0

    def matches(self, packet: bytes) -> bool:
        header = ffi.new("struct pcap_pkthdr *", [0, 0, len(packet), len(packet)])
        return bool(libpcap.pcap_offline_filter(self._program, header, packet))


class LoadedProgram:
    """A classifier in the kernel."""

    def __init__(self, code: bytes) -> None:
        self._fd = load_program(BPF_PROG_TYPE_SCHED_CLS, code, "load a filter")

    def run(self, packet: bytes) -> int:
        """Its verdict on a packet of at least 15 bytes."""
        data = ctypes.create_string_buffer(packet, len(packet))
        # union bpf_attr, test: prog_fd, retval, data_size_in, data_size_out, data_in, data_out, repeat, …
        attributes = ctypes.create_string_buffer(
            struct.pack("=IIIIQQII", self._fd, 0, len(packet), 0, ctypes.addressof(data), 0, 1, 0), 80
        )
        bpf(BPF_PROG_TEST_RUN, attributes, "run a classifier")
        return int.from_bytes(attributes.raw[4:8], "little", signed=True)

    def close(self) -> None:
        os.close(self._fd)


def push_tag(protocol: int, control: int) -> bytes:
    """Instructions before a program that give the packet a VLAN tag which the kernel keeps beside its bytes."""
    instruction = struct.Struct("<BBhI")
    swapped = int.from_bytes(protocol.to_bytes(2, "big"), "little")
    return b"".join(
        (
            instruction.pack(0xBF, 6 | 1 << 4, 0, 0),  # r6 = r1
            instruction.pack(0xB7, 2, 0, swapped),
            instruction.pack(0xB7, 3, 0, control),
            instruction.pack(0x85, 0, 0, 18),  # bpf_skb_vlan_push
            instruction.pack(0xBF, 1 | 6 << 4, 0, 0),  # r1 = r6
        )
    )
