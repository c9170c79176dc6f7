"""Reads BTF, the type information that a compiler writes for eBPF objects (kernel Documentation/bpf/btf.rst).

Only bytes in: the content of an object's section `.BTF`, or of /sys/kernel/btf/vmlinux. A recording holds BTF too, so
the bytes may come from anywhere: whatever they are, the result is a `Btf` or a `BtfError`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from plainwire.errors import InputError

MAGIC = 0xEB9F
HEADER_SIZE = 24
# No type of C is nested deeper; hostile BTF may be circular.
MAX_DEPTH = 64


class BtfError(InputError):
    """The bytes are no BTF, or BTF that contradicts itself."""


class Kind(IntEnum):
    """BTF_KIND_* of <linux/btf.h>."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_ALIASES = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT, Kind.DATASEC})
# Bytes that follow the common 12, for each type and for each of its vlen elements.
_FIXED_EXTRA = {Kind.INT: 4, Kind.ARRAY: 12, Kind.VAR: 4, Kind.DECL_TAG: 4}
_ELEMENT = {
    Kind.STRUCT: 12,
    Kind.UNION: 12,
    Kind.ENUM: 8,
    Kind.FUNC_PROTO: 8,
    Kind.DATASEC: 12,
    Kind.ENUM64: 12,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a structure. `bit_size` is not 0 for a bit field only."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int


@dataclass(frozen=True, slots=True)
class BtfType:
    """One type as it stands in the BTF; which fields are used depends on `kind`.

    `type_id` is the type that this one refers to (pointer, array's element, alias, variable, tag), `size` is in bytes,
    `values` are an enum's names, `items` the variables of a DATASEC.
    """

    id: int
    kind: Kind
    name: str
    size: int = 0
    type_id: int = 0
    signed: bool = False
    nelems: int = 0
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, int], ...] = ()
    items: tuple[int, ...] = ()
    component: int = -1  # DECL_TAG: the member or argument that is meant, -1 for the whole


class Btf:
    """The types of one object.

    Raises BtfError where the bytes are no BTF, from the constructor and from every method.
    """

    def __init__(self, raw: bytes) -> None:
        if len(raw) < HEADER_SIZE:
            raise BtfError(f"BTF of {len(raw)} bytes is shorter than its header")
        self.byteorder = "<" if raw[0] == MAGIC & 0xFF else ">"
        magic, version, _flags, header_len, type_off, type_len, str_off, str_len = struct.unpack_from(
            self.byteorder + "HBBIIIII", raw
        )
        if magic != MAGIC or version != 1:
            raise BtfError(f"not BTF of version 1: it begins with {raw[:4].hex()}")
        types = raw[header_len + type_off : header_len + type_off + type_len]
        self._strings = raw[header_len + str_off : header_len + str_off + str_len]
        if header_len < HEADER_SIZE or len(types) != type_len or len(self._strings) != str_len:
            raise BtfError("BTF is cut short")
        self.types: list[BtfType] = [BtfType(0, Kind.VOID, "void")]
        try:
            self._parse(types)
        except struct.error as error:
            raise BtfError(f"BTF is cut short in type {len(self.types)}") from error
        self._named: dict[tuple[Kind, str], BtfType] = {}
        for entry in self.types:
            self._named.setdefault((entry.kind, entry.name), entry)

    def _parse(self, types: bytes) -> None:
        order = self.byteorder
        head = struct.Struct(order + "III")
        offset = 0
        while offset < len(types):
            name_off, info, size_or_type = head.unpack_from(types, offset)
            offset += 12
            number = info >> 24 & 0x1F
            if number == Kind.VOID or number not in Kind.__members__.values():
                raise BtfError(f"BTF type {len(self.types)} is of the unknown kind {number}")
            kind = Kind(number)
            fixed = struct.unpack_from(f"{order}{_FIXED_EXTRA.get(kind, 0) // 4}I", types, offset)
            offset += 4 * len(fixed)
            element = _ELEMENT.get(kind, 0)
            body = types[offset : offset + element * (info & 0xFFFF)]
            if len(body) != element * (info & 0xFFFF):
                raise BtfError(f"BTF is cut short in type {len(self.types)}")
            offset += len(body)
            self.types.append(self._type(kind, (name_off, info, size_or_type), fixed, body))

    def _type(self, kind: Kind, head: tuple[int, int, int], fixed: tuple[int, ...], body: bytes) -> BtfType:
        order, number = self.byteorder, len(self.types)
        name, flag, size_or_type = self._string(head[0]), bool(head[1] >> 31), head[2]
        size = size_or_type if kind in _SIZED else 0
        target = 0 if kind in _SIZED else size_or_type
        if kind is Kind.INT:
            return BtfType(number, kind, name, size, signed=bool(fixed[0] >> 24 & 1))
        if kind is Kind.ARRAY:
            return BtfType(number, kind, name, type_id=fixed[0], nelems=fixed[2])
        if kind is Kind.DECL_TAG:
            component = -1 if fixed[0] == 0xFFFFFFFF else fixed[0]
            return BtfType(number, kind, name, type_id=target, component=component)
        if kind in (Kind.STRUCT, Kind.UNION):
            members = tuple(
                Member(self._string(field), type_id, *((bits & 0xFFFFFF, bits >> 24) if flag else (bits, 0)))
                for field, type_id, bits in struct.iter_unpack(order + "III", body)
            )
            return BtfType(number, kind, name, size, members=members)
        if kind is Kind.ENUM:
            pairs = struct.iter_unpack(order + ("Ii" if flag else "II"), body)
            return BtfType(number, kind, name, size, signed=flag, values=tuple((self._string(n), v) for n, v in pairs))
        if kind is Kind.ENUM64:
            triples = struct.iter_unpack(order + ("IIi" if flag else "III"), body)
            values = tuple((self._string(n), high << 32 | low) for n, low, high in triples)
            return BtfType(number, kind, name, size, signed=flag, values=values)
        if kind is Kind.DATASEC:
            items = tuple(variable for variable, _offset, _size in struct.iter_unpack(order + "III", body))
            return BtfType(number, kind, name, size, items=items)
        return BtfType(number, kind, name, size, type_id=target)

    def _string(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise BtfError(f"BTF names a string at {offset}, outside its strings")
        text = self._strings[offset:end].decode("utf-8", "replace")
        if not text.isprintable():  # names stand in messages
            raise BtfError(f"BTF has a name that can't be printed at {offset} of its strings")
        return text

    def type(self, type_id: int) -> BtfType:
        """The type with this number."""
        try:
            return self.types[type_id]
        except IndexError:
            raise BtfError(f"BTF refers to type {type_id}, but has {len(self.types)}") from None

    def resolve(self, type_id: int) -> BtfType:
        """The type behind typedefs and qualifiers."""
        for _ in range(MAX_DEPTH):
            found = self.type(type_id)
            if found.kind not in _ALIASES:
                return found
            type_id = found.type_id
        raise BtfError(f"BTF type {type_id} refers to itself")

    def find(self, kind: Kind, name: str) -> BtfType | None:
        """The first type of that kind and name."""
        return self._named.get((kind, name))

    def struct(self, name: str) -> BtfType | None:
        """The structure of that name."""
        return self.find(Kind.STRUCT, name)

    def enum(self, name: str) -> dict[str, int] | None:
        """The names and values of an enum, in its own order."""
        found = self.find(Kind.ENUM, name) or self.find(Kind.ENUM64, name)
        return None if found is None else dict(found.values)

    def size_of(self, type_id: int) -> int:
        """Bytes of a type, as sizeof() tells; 0 for what has none. A pointer of eBPF has 8."""
        count = 1
        for _ in range(MAX_DEPTH):
            found = self.resolve(type_id)
            if found.kind is Kind.ARRAY:
                count *= found.nelems
                type_id = found.type_id
            elif found.kind is Kind.PTR:
                return count * 8
            else:
                return count * found.size
        raise BtfError(f"BTF type {type_id} refers to itself")

    def describe(self, type_id: int) -> str:
        """The type in the way that kernel code writes it: u32, s64, char[16], ssl_data_event_t, u8 *."""
        suffix = ""
        for _ in range(MAX_DEPTH):
            found = self.resolve(type_id)
            if found.kind is Kind.PTR:
                suffix, type_id = " *" + suffix, found.type_id
            elif found.kind is Kind.ARRAY:
                suffix, type_id = f"{suffix}[{found.nelems}]", found.type_id
            elif found.kind is Kind.INT and found.name != "char":
                return f"{'s' if found.signed else 'u'}{found.size * 8}{suffix}"
            else:
                return (found.name or f"(anonymous {found.kind.name.lower()})") + suffix
        raise BtfError(f"BTF type {type_id} refers to itself")
