"""Events as packets in pcapng files: captured ones with their keys, and plaintext as synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from plainwire.decode.packet_batch import PacketBatch, PacketProcess
from plainwire.events import AnyEvent, DataEvent, InterfaceEvent, PacketEvent, SecretEvent
from plainwire.outputs.keylog import keylog_line
from plainwire.outputs.pcapng import LINKTYPE_RAW, packet_options
from plainwire.outputs.pcapng_files import PcapngFiles
from plainwire.outputs.plain_packets import Endpoint, PlainPackets

_SECOND_DIGITS: Final = 19
"""Of RFC 3339 up to the seconds; after the dot follow nine digits."""

_MOST_KNOWN_PROCESSES: Final = 4096


class Nanoseconds:
    """Turns an event's time into nanoseconds since 1970. Events of one second come together."""

    def __init__(self) -> None:
        self._second = ""
        self._start = 0

    def of(self, time: str) -> int:
        """time: as in Event."""
        if not time.startswith(self._second) or not self._second:
            self._second = time[:_SECOND_DIGITS]
            moment = datetime.fromisoformat(self._second).replace(tzinfo=UTC)
            self._start = int(moment.timestamp()) * 1_000_000_000
        return self._start + int(time[_SECOND_DIGITS + 1 : -1])


class PacketOutput:
    """Captured packets, each with its process, and the keys before the packets that need them."""

    def __init__(self, name: str, files: PcapngFiles, *, snaplen: int = 0, capture_filter: str | None = None) -> None:
        self.name = name
        self._files = files
        self._snaplen = snaplen
        self._filter = capture_filter
        self._numbers: dict[str, int] = {}
        self._options: dict[tuple[PacketProcess, bool], bytes] = {}
        self._nanoseconds = Nanoseconds().of

    def write(self, events: Sequence[AnyEvent]) -> None:
        """See Output."""
        if isinstance(events, PacketBatch):
            self._write_batch(events)
        else:
            for event in events:
                self._write_event(event)
        self._files.flush()

    def _write_batch(self, batch: PacketBatch) -> None:
        numbers, known_options, offset_ns = self._numbers, self._options, batch.offset_ns
        packets = []
        for timestamp, interface, process, outgoing, length, data in batch.rows:
            number = numbers.get(interface.name)
            if number is None:
                number = self._declare(interface.name, interface.link_type)
            options = known_options.get((process, outgoing)) or self._options_of(process, outgoing)
            packets.append((number, timestamp + offset_ns, data, length, options))
        self._files.packets(packets)

    def _write_event(self, event: AnyEvent) -> None:
        if isinstance(event, PacketEvent):
            number = self._declare(event.interface, event.link_type)
            options = packet_options(event.pid, event.uid, event.comm, event.container, event.direction == "out")
            self._files.packets([(number, self._nanoseconds(event.time), event.data, event.length, options)])
        elif isinstance(event, SecretEvent):
            self._files.secrets(self._nanoseconds(event.time), keylog_line(event))
        elif isinstance(event, InterfaceEvent):
            self._files.count(self._declare(event.interface, event.link_type), event.packets, event.lost)

    def _options_of(self, process: PacketProcess, outgoing: bool) -> bytes:
        if len(self._options) >= _MOST_KNOWN_PROCESSES:
            self._options.clear()
        options = packet_options(process.pid, process.uid, process.comm, process.container, outgoing)
        self._options[process, outgoing] = options
        return options

    def _declare(self, interface: str, link_type: int) -> int:
        """The number of an interface, which is declared where it is new."""
        if interface not in self._numbers:
            self._numbers[interface] = self._files.interface(
                interface, link_type, snaplen=self._snaplen, capture_filter=self._filter
            )
        return self._numbers[interface]

    def close(self) -> None:
        """See Output."""
        self._files.close()


class PlainPacketOutput:
    """Plaintext as the synthetic TCP connections of plain_packets."""

    def __init__(self, name: str, files: PcapngFiles) -> None:
        self.name = name
        self._files = files
        self._interface = files.interface("plaintext", LINKTYPE_RAW)
        self._packets = PlainPackets()
        self._nanoseconds = Nanoseconds().of

    def write(self, events: Sequence[AnyEvent]) -> None:
        """See Output."""
        for event in events:
            if isinstance(event, DataEvent):
                for packet in self._packets.data(event, *_ends(event)):
                    options = packet_options(event.pid, event.uid, event.comm, None, packet.outgoing, packet.note)
                    time_ns = self._nanoseconds(event.time)
                    self._files.packets([(self._interface, time_ns, packet.data, len(packet.data), options)])
        self._files.flush()

    def close(self) -> None:
        """See Output."""
        self._files.close()


def _ends(event: DataEvent) -> tuple[Endpoint | None, Endpoint | None]:
    """Local and remote end, where both are known."""
    connection = event.connection
    if connection is None or connection.local_address is None or connection.remote_address is None:
        return None, None
    return (connection.local_address, connection.local_port or 0), (
        connection.remote_address,
        connection.remote_port or 0,
    )
