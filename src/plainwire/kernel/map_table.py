"""Every map of every module, from the built objects themselves."""

from __future__ import annotations

import msgspec

from plainwire.decode.btf import Btf
from plainwire.decode.maps import MapDeclaration, map_declarations
from plainwire.kernel.map_memory import map_bytes
from plainwire.kernel.object_files import (
    CONNECTION_MAPS,
    CONNECTION_OBJECT,
    PACKET_MODULE,
    PACKET_OBJECTS,
    PROCESS_OBJECT,
    SHARED_MAPS,
    object_btf,
    object_path,
)
from plainwire.modules import all_modules

EVENT_MAP = "PERF_EVENT_ARRAY"


class MapRow(msgspec.Struct):
    """One map of one module.

    type: as declared; an event map becomes a ring buffer where the kernel has them. key, value: types as kernel code
    writes them. bytes: of memory after the load, None where the memory is another map's: then shared_with names its
    module, or buffer the event buffer that the map is bound to.
    """

    module: str
    name: str
    type: str
    key: str
    key_size: int
    value: str
    value_size: int
    max_entries: int
    bytes: int | None
    shared_with: str | None
    buffer: str | None
    purpose: str


_BUFFERS = {PROCESS_OBJECT: "processes", PACKET_MODULE: "packets"}


def map_table(cpus: int) -> list[MapRow]:
    """In the order of modules, objects and their sources; "processes" is what serves all modules. cpus: possible ones.

    Raises PlainwireError where an object is missing.
    """
    objects = [(module.name, name) for module in all_modules().values() for name in module.objects]
    objects += [(PACKET_MODULE, name) for name in PACKET_OBJECTS]
    rows: dict[tuple[str, str], MapRow] = {}
    for module, name in [*objects, (PROCESS_OBJECT, PROCESS_OBJECT)]:
        for declaration in map_declarations(Btf(object_btf(object_path(name)))):
            owner = _owner(name, declaration.name)
            once = owner or name == CONNECTION_OBJECT or module == PACKET_MODULE or declaration.type == EVENT_MAP
            place = (module, declaration.name if once else f"{name}/{declaration.name}")
            if place not in rows or (rows[place].shared_with and not owner):
                rows[place] = _row(module, declaration, cpus, shared_with=owner)
    return list(rows.values())


def _owner(object_name: str, map_name: str) -> str | None:
    """The module whose map it is, where it is not the object's own."""
    if map_name in SHARED_MAPS and object_name != PROCESS_OBJECT:
        return PROCESS_OBJECT
    if map_name in CONNECTION_MAPS and object_name != CONNECTION_OBJECT:
        return next(module.name for module in all_modules().values() if CONNECTION_OBJECT in module.shared_objects)
    return None


def _row(module: str, declaration: MapDeclaration, cpus: int, *, shared_with: str | None) -> MapRow:
    is_event_map = declaration.type == EVENT_MAP
    return MapRow(
        module=module,
        name=declaration.name,
        type=declaration.type,
        key=declaration.key,
        key_size=declaration.key_size,
        value=declaration.value,
        value_size=declaration.value_size,
        max_entries=declaration.max_entries,
        bytes=None if shared_with or is_event_map else map_bytes(declaration, cpus),
        shared_with=shared_with,
        buffer=None if not is_event_map else _BUFFERS.get(module, "data"),
        purpose=declaration.purpose,
    )
