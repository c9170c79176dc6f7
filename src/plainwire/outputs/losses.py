"""What each kind of loss means, and what the user can do about it."""

from __future__ import annotations

from plainwire.events import StatsEvent
from plainwire.outputs.clean import clean_name
from plainwire.outputs.style import PLAIN, Style
from plainwire.outputs.words import counted

_NARROWER = "narrower filters (--pid, --comm) lose less"

# By reason (enum loss_kind of bpf/abi.h in lower case, and the decoder's own): what was counted, what happened to it,
# and what the user can do.
LOSSES = {
    "buffer_full": ("event", "the buffer was full", f"a larger --buffer-size or {_NARROWER}"),
    "arguments_full": ("call", "too many were under way at once for the kernel's argument map", _NARROWER),
    "unreadable": ("event", "the bytes were not in memory when the kernel looked", "the headers say which"),
    "truncated_bytes": ("byte", "beyond the 16 MiB that are captured of one call", "the headers say which"),
    "no_scratch": ("event", "every scratch buffer in the kernel was taken", _NARROWER),
    "process_events": ("process event", "their buffer was full", "names of short-lived processes may be missing"),
    "malformed": ("sample", "against the structure of their kind", "a bug of plainwire, or a damaged recording"),
    "unknown_kind": ("sample", "of a kind unknown here", "the version that made the recording can read it"),
    "contradictory_secrets": (
        "contradiction",
        "secrets do not follow from one another, or two ways disagree, so none was written",
        "plainwire misreads this library's structures, and --keys-by log does without",
    ),
    "packet_buffer_full": ("packet", "the packet buffer was full", "--snaplen or a packet filter lose less"),
    "late": ("place", "events came after they had been given up", "their numbers say where they belong"),
    "gap": ("event", "found by the numbers of a connection's events", "the headers say where"),
}


def loss_sentence(reason: str, count: int) -> str:
    """One line: what was lost, why, and what helps."""
    if reason not in LOSSES:
        return f"{counted(count, 'event')} ({clean_name(reason)})"
    noun, cause, advice = LOSSES[reason]
    return f"{counted(count, noun)}: {cause}; {advice}"


def summary(stats: StatsEvent, style: Style = PLAIN) -> str:
    """What a capture saw and what it lost: a line, and one more per kind of loss. For stderr, without a last \\n."""
    amount = f"{counted(stats.events, 'event')}, {counted(stats.bytes, 'byte')}"
    origin = f"{counted(stats.processes, 'process')} on {counted(stats.connections, 'connection')}"
    if stats.commands:
        amount += f", {counted(stats.commands, 'command')}"
    if stats.secrets:
        amount += f", {counted(stats.secrets, 'secret')}"
    if stats.secrets_verified:
        amount += f" ({stats.secrets_verified:,} verified)"
    lines = [f"captured {amount} of {origin} in {stats.duration_ns / 1e9:.1f} s"]
    if stats.packets:
        lines.append(_packets(stats))
    losses = {reason: count for reason, count in stats.losses.items() if count}
    lines += [f"{style.alarm}lost {loss_sentence(reason, count)}{style.reset}" for reason, count in losses.items()]
    if not losses:
        lines[0] += ", nothing lost"
    if not stats.complete:
        lines.append(f"{style.alarm}the recording was cut short: this is what came before the cut{style.reset}")
    return "\n".join(lines)


def _packets(stats: StatsEvent) -> str:
    known = stats.packets - stats.packets_unattributed
    percent = 100 * known / stats.packets
    # Rounded down: 100 % would be wrong while one is missing.
    share = "all" if known == stats.packets else f"{int(percent * 10) / 10:.1f} %"
    return f"{counted(stats.packets, 'packet')}, of which {share} with their process"
