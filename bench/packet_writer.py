"""How fast packets that were read become a pcapng file: decoded, and written.

Samples as the kernel makes them, of ten processes in turn, in rounds as the reader of a live capture takes them. The
file is in memory. Counted is processor time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import goal
from plainwire.decode.abi import PACKET, event_kinds
from plainwire.decode.decoder import Decoder
from plainwire.decode.packets import HELD_NS
from plainwire.decode.records import Clock, InterfaceFacts, Layout, Packets
from plainwire.outputs.pcapng_files import PcapngFiles
from plainwire.outputs.pcapng_output import PacketOutput
from tests.support.samples import object_btf, pack, parsed_btf

SIZES = (64, 1448)
ROUND = 500
ROUNDS = 200
REPEATS = 5
PACKETS_A_SECOND = 300_000
OUTGOING_WANTED = 1 | 4  # enum packet_flag


def rounds(size: int) -> list[Packets]:
    """Records of 1 ms each, which end when all of their packets have been held long enough."""
    made = []
    for number in range(ROUNDS):
        now = (number + 1) * 1_000_000
        samples = [
            pack(
                "tc",
                "skb_data_event_t",
                kind=event_kinds(parsed_btf("tc"))[PACKET],
                ifindex=1,
                ts=now,
                pid=1000 + place % 10,
                len=size,
                captured_len=size,
                flags=OUTGOING_WANTED,
                comm=b"sender",
            )
            + bytes(size)
            for place in range(ROUND)
        ]
        made.append(Packets(now, samples))
    return [*made, Packets(made[-1].timestamp_ns + HELD_NS, [])]


def seconds_a_packet(records: list[Packets], path: Path) -> tuple[float, float]:
    """To decode one, and to write it."""
    decoder = Decoder()
    for record in (Layout("tc", object_btf("tc")), Clock(0, 1_764_000_000 * 10**9), InterfaceFacts(1, "veth0", 1)):
        decoder.feed(record)
    output = PacketOutput(str(path), PcapngFiles(path, "bench"))
    decoding = writing = 0.0
    count = 0
    for record in records:
        start = time.thread_time()
        packets = decoder.feed(record)
        decoded = time.thread_time()
        if packets:
            output.write(packets)
        writing += time.thread_time() - decoded
        decoding += decoded - start
        count += len(packets)
    output.close()
    path.unlink()
    assert count == ROUND * ROUNDS
    return decoding / count, writing / count


def main() -> None:
    """Print a line for each size."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for size in SIZES:
            records = rounds(size)
            figures = [seconds_a_packet(records, Path(folder) / "trace.pcapng") for _ in range(REPEATS)]
            decoding, writing = (statistics.median(column) for column in zip(*figures, strict=True))
            print(
                f"{size:5} B: decoded in {decoding * 1e6:.2f} µs, written in {writing * 1e6:.2f} µs:"
                f" {1 / writing:,.0f} packets/s written ({goal(1 / writing >= PACKETS_A_SECOND, '300,000')}),"
                f" {1 / (decoding + writing):,.0f}/s both"
            )


if __name__ == "__main__":
    main()
