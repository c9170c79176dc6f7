"""Event classes: names and types in Python, offsets and sizes from the BTF of the object that writes the events.

An event class is a NamedTuple whose annotations say what C type each field has:

    class ProcessEvent(NamedTuple):
        pid: U32
        comm: Chars
        ancestors: Annotated[U32, Added(0)]  # recordings from before it was there have 0
        text: Annotated[bytes, Payload("text_len")]

`compile_layout` looks the structure up, refuses what differs, and makes one struct.Struct of all fields (bytes between
them become padding), so that a sample is decoded by one call in C.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_type_hints

from plainwire.decode.btf import Btf, BtfType, Kind, Member
from plainwire.errors import AbiMismatchError


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of C; of 16 bytes (`__int128`, an IPv6 address) it is given as bytes, as it lies in memory."""

    size: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Array:
    """A fixed array of bytes, given whole. Its size is the object's; `size` is set where it must be a certain one."""

    size: int | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The array of bytes at the end, of which a sample holds as many as the field `length` says."""

    length: str


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure inside the structure, given as its bytes: it has an event class of its own."""

    name: str


@dataclass(frozen=True, slots=True)
class Added:
    """Beside the marker of a field that came later than the first recordings: what it is where the object lacks it."""

    default: int | bytes


U8 = Annotated[int, Integer(1, signed=False)]
U16 = Annotated[int, Integer(2, signed=False)]
U32 = Annotated[int, Integer(4, signed=False)]
U64 = Annotated[int, Integer(8, signed=False)]
S32 = Annotated[int, Integer(4, signed=True)]
S64 = Annotated[int, Integer(8, signed=True)]
U128 = Annotated[bytes, Integer(16, signed=False)]
Chars = Annotated[bytes, Array()]

_VERSIONS = ": object and plainwire are of different versions"
_FORMATS = {1: "b", 2: "h", 4: "i", 8: "q"}

E = TypeVar("E", bound=NamedTuple)


class SampleError(ValueError):
    """A sample is shorter than the structure, or than the length that it tells."""


class EventLayout(Generic[E]):
    """How one structure lies in a sample.

    unpack_from: a sample -> the fields before the payload in the order of the class, as a plain tuple; raises
        struct.error where the sample is shorter than `size`. For loops that count nanoseconds.
    size: bytes before the payload, or of the whole structure where it has none.
    payload_capacity: the most bytes that a payload can have.
    """

    def __init__(
        self,
        cls: type[E],
        structure: BtfType,
        form: struct.Struct,
        order: tuple[int, ...],
        defaults: tuple[int | bytes, ...],
    ) -> None:
        self.cls = cls
        self.structure = structure.name
        self.size = form.size
        self.payload_capacity = 0
        self._length_index: int | None = None
        plain = form.unpack_from
        self.unpack_from: Callable[[bytes], tuple[Any, ...]] = plain
        if defaults or order != tuple(range(len(order))):
            permute = itemgetter(*order)
            self.unpack_from = lambda sample: permute(plain(sample) + defaults)

    def set_payload(self, capacity: int, length_index: int) -> None:
        """Called once by compile_layout."""
        self.payload_capacity = capacity
        self._length_index = length_index

    def read(self, sample: bytes) -> E:
        """The event in a sample. Raises SampleError where bytes are missing."""
        try:
            fields = self.unpack_from(sample)
        except struct.error:
            raise SampleError(f"{self.structure} of {len(sample)} bytes, but it has {self.size}") from None
        if self._length_index is None:
            return self.cls._make(fields)
        length = fields[self._length_index]
        payload = sample[self.size : self.size + length]
        if len(payload) != length or length > self.payload_capacity:
            raise SampleError(f"{self.structure} of {len(sample)} bytes tells a payload of {length}")
        return self.cls._make((*fields, payload))


def compile_layout(cls: type[E], name: str, btf: Btf) -> EventLayout[E]:
    """Find the structure `name` in an object and compare the class with it.

    The payload, if there is one, must be the last field of both. Raises AbiMismatchError, naming structure and field.
    """
    structure = btf.struct(name)
    if structure is None:
        raise AbiMismatchError(f"struct {name} is not in the object's BTF{_VERSIONS}")
    members = {member.name: member for member in structure.members}
    fixed: list[tuple[int, int, str, int]] = []  # byte offset, size, format, position in the class
    payload: tuple[Member, Payload] | None = None
    names: list[str] = []
    absent: list[tuple[int, int | bytes]] = []  # position in the class, default
    for position, (field, hint) in enumerate(get_type_hints(cls, include_extras=True).items()):
        marker, *added = hint.__metadata__
        member = members.get(field)
        if member is None and added:
            names.append(field)
            absent.append((position, added[0].default))
            continue
        if member is None:
            raise AbiMismatchError(f"struct {name} has no field {field}{_VERSIONS}")
        if isinstance(marker, Payload):
            payload = (member, marker)
            continue
        names.append(field)
        fixed.append((member.bit_offset // 8, *_format(btf, name, member, marker), position))
    if payload is not None and (_byte_array(btf, payload[0]) is None or payload[1].length not in names):
        raise _mismatch(btf, name, payload[0], f"bytes counted by {payload[1].length}")
    fixed.sort()
    form, end = btf.byteorder, 0
    for offset, size, code, _ in fixed:
        if offset < end:
            raise AbiMismatchError(f"struct {name}: its BTF lets fields overlap at byte {offset}")
        form += f"{offset - end}x{code}"
        end = offset + size
    size = structure.size if payload is None else payload[0].bit_offset // 8
    if end > size:
        raise AbiMismatchError(f"struct {name}: fields lie behind its payload or its end")
    positions = [*(position for *_, position in fixed), *(position for position, _ in absent)]
    order = tuple(positions.index(position) for position in range(len(positions)))
    defaults = tuple(default for _, default in absent)
    layout = EventLayout(cls, structure, struct.Struct(f"{form}{size - end}x"), order, defaults)
    if payload is not None:
        member, marker = payload
        layout.set_payload(btf.size_of(member.type_id), names.index(marker.length))
    return layout


def _format(btf: Btf, name: str, member: Member, marker: object) -> tuple[int, str]:
    """Size and format character of a field, after comparing it with its marker."""
    found = btf.resolve(member.type_id)
    if isinstance(marker, Array):
        size = _byte_array(btf, member)
        if size is None or marker.size not in (None, size):
            raise _mismatch(btf, name, member, f"an array of {marker.size or 'some'} bytes")
        return size, f"{size}s"
    if isinstance(marker, Structure):
        if found.kind is not Kind.STRUCT or found.name != marker.name or member.bit_offset % 8:
            raise _mismatch(btf, name, member, f"struct {marker.name}")
        return found.size, f"{found.size}s"
    if not isinstance(marker, Integer):
        raise TypeError(f"{name}.{member.name}: {marker!r} is no marker of a C type")
    integral = found.kind in (Kind.INT, Kind.ENUM) and not member.bit_size and member.bit_offset % 8 == 0
    if not integral or found.size != marker.size or found.signed != marker.signed:
        raise _mismatch(btf, name, member, f"{'s' if marker.signed else 'u'}{marker.size * 8}")
    if marker.size == 16:
        return 16, "16s"
    code = _FORMATS[marker.size]
    return marker.size, code if marker.signed else code.upper()


def _byte_array(btf: Btf, member: Member) -> int | None:
    """How many bytes an array of single bytes has; None for any other type."""
    found = btf.resolve(member.type_id)
    if found.kind is not Kind.ARRAY or member.bit_offset % 8 or btf.resolve(found.type_id).kind is not Kind.INT:
        return None
    return found.nelems if btf.size_of(found.type_id) == 1 else None


def _mismatch(btf: Btf, name: str, member: Member, wanted: str) -> AbiMismatchError:
    return AbiMismatchError(
        f"struct {name}, field {member.name}: plainwire expects {wanted}, the object has {btf.describe(member.type_id)}"
        + _VERSIONS
    )
