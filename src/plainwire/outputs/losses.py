"""What each kind of loss means, and what the user can do about it."""

from __future__ import annotations

from plainwire.events import StatsEvent
from plainwire.outputs.clean import clean_name
from plainwire.outputs.style import PLAIN, Style
from plainwire.outputs.words import counted

# By reason: enum loss_kind of bpf/abi.h in lower case. What was lost ({} is the count), and what helps.
_LOSSES = {
    "buffer_full": (
        "{} events: the buffer was full",
        "a larger --buffer-size or narrower filters (--pid, --comm) lose less",
    ),
    "arguments_full": (
        "{} calls: more were under way at once than the kernel's argument map holds",
        "narrower filters (--pid, --comm) lose less",
    ),
    "unreadable": (
        "the bytes of {} events: they were not in memory when the kernel looked",
        "their headers say which; the same request sent again is often readable",
    ),
    "truncated_bytes": (
        "{} bytes: a call is captured up to 16 MiB, and the rest of it is not",
        "the headers say which calls",
    ),
    "no_scratch": (
        "{} events: every scratch buffer in the kernel was taken",
        "narrower filters (--pid, --comm) lose less",
    ),
    "process_events": (
        "{} notices of new or ended processes: their buffer was full",
        "some events may lack a name, and a short-lived process may be missing",
    ),
    "gap": (
        "{} events, found by gaps in the numbers of a connection's events",
        "the headers say where",
    ),
}


def loss_sentence(reason: str, count: int) -> str:
    """One line: what was lost, and what helps."""
    known = _LOSSES.get(reason)
    if known is None:
        return f"{count:,} events ({clean_name(reason)})"
    what, advice = known
    return f"{what.format(f'{count:,}')}; {advice}"


def summary(stats: StatsEvent, style: Style = PLAIN) -> str:
    """What a capture saw and what it lost: a line, and one more per kind of loss. For stderr, without a last \\n."""
    amount = f"{counted(stats.events, 'event')}, {counted(stats.bytes, 'byte')}"
    origin = f"{counted(stats.processes, 'process')} on {counted(stats.connections, 'connection')}"
    lines = [f"captured {amount} of {origin} in {stats.duration_ns / 1e9:.1f} s"]
    losses = {reason: count for reason, count in stats.losses.items() if count}
    lines += [f"{style.alarm}lost {loss_sentence(reason, count)}{style.reset}" for reason, count in losses.items()]
    if not losses:
        lines[0] += ", nothing lost"
    if not stats.complete:
        lines.append(f"{style.alarm}the recording was cut short: this is what came before the cut{style.reset}")
    return "\n".join(lines)
