"""The eBPF filters of an interface's clsact qdisc (<linux/rtnetlink.h>, <linux/pkt_sched.h>, <linux/pkt_cls.h>)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from plainwire.sockets.rtnetlink import attributes, dump

_RTM_GETTFILTER: Final = 46
_PARENTS: Final = {False: 0xFFFFFFF2, True: 0xFFFFFFF3}
"""TC_H_CLSACT with TC_H_MIN_INGRESS or TC_H_MIN_EGRESS, by whether it is egress."""
_TCA_OPTIONS: Final = 2
_TCA_BPF_NAME: Final = 7
_FILTER = struct.Struct("=BxxxiIII")  # struct tcmsg


@dataclass(frozen=True, slots=True)
class TrafficFilter:
    """name: of its program, and what tc adds to it."""

    egress: bool
    handle: int
    priority: int
    name: str


def list_filters(ifindex: int) -> list[TrafficFilter]:
    """Those of one interface; none where it has no clsact qdisc. Raises OSError."""
    found = []
    for egress, parent in _PARENTS.items():
        for message in dump(_RTM_GETTFILTER, _FILTER.pack(0, ifindex, 0, parent, 0)):
            _, _, handle, _, information = _FILTER.unpack_from(message)
            options = attributes(attributes(message[_FILTER.size :]).get(_TCA_OPTIONS, b""))
            name = options.get(_TCA_BPF_NAME, b"").rstrip(b"\0").decode(errors="backslashreplace")
            if handle:  # else it is the priority's own entry
                found.append(TrafficFilter(egress, handle, information >> 16, name))
    return found
