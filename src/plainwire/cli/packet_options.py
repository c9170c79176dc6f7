"""The options for packets, and where they are written."""

from __future__ import annotations

from pathlib import Path

import click

from plainwire import __version__
from plainwire.cli.options import Size
from plainwire.errors import InputError
from plainwire.outputs import Output
from plainwire.outputs.destination import open_private
from plainwire.outputs.pcapng_files import PcapngFiles
from plainwire.outputs.pcapng_output import PacketOutput, PlainPacketOutput

PACKET_OPTIONS = (
    click.option(
        "--pcapng",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write packets there for Wireshark; - is stdout.",
    ),
    click.option(
        "--pcapng-plain",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the plaintext there as packets of synthetic TCP connections.",
    ),
    click.option("--rotate-size", type=Size(), metavar="SIZE", help="Of both: a new file before it exceeds this."),
    click.option(
        "--rotate-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        help="Of both: a new file after so many seconds.",
    ),
    click.option(
        "--files", "file_count", type=click.IntRange(1), metavar="N", help="Of rotated files, keep the last N."
    ),
)


def open_pcapng(
    pcapng: Path | None,
    pcapng_plain: Path | None,
    *,
    rotate_size: int | None,
    rotate_seconds: float | None,
    file_count: int | None,
    owner: tuple[int, int] | None = None,
    snaplen: int = 0,
    packet_filter: str = "",
) -> list[Output]:
    """The outputs that were asked for. Raises InputError where the options make no sense together."""
    rotates = rotate_size is not None or rotate_seconds is not None
    if pcapng is None and pcapng_plain is None and (rotates or file_count is not None):
        raise InputError("--rotate-size, --rotate-seconds and --files are for --pcapng FILE and --pcapng-plain FILE")
    if file_count is not None and not rotates:
        raise InputError("--files N keeps the last of rotated files: say when with --rotate-size or --rotate-seconds")
    if pcapng is not None and pcapng == pcapng_plain:
        raise InputError(f"--pcapng and --pcapng-plain can't both write {pcapng}")

    def files(path: Path) -> PcapngFiles:
        return PcapngFiles(
            path,
            f"plainwire {__version__}",
            max_bytes=rotate_size,
            max_ns=int(rotate_seconds * 1e9) if rotate_seconds is not None else None,
            files=file_count,
            create=lambda path: open_private(path, owner),
        )

    outputs: list[Output] = []
    if pcapng is not None:
        outputs.append(
            PacketOutput(_name(pcapng), files(pcapng), snaplen=snaplen, capture_filter=packet_filter or None)
        )
    if pcapng_plain is not None:
        outputs.append(PlainPacketOutput(_name(pcapng_plain), files(pcapng_plain)))
    return outputs


def _name(path: Path) -> str:
    return "stdout" if str(path) == "-" else str(path)
