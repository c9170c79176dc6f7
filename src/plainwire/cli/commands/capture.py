"""`plainwire capture`: what programs say over TLS, live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from plainwire.capture.api import Capture
from plainwire.capture.command import sudo_caller
from plainwire.capture.options import DEFAULT_BUFFER_SIZE, DEFAULT_SNAPLEN, CaptureOptions, KeysBy
from plainwire.cli.live import LiveRun
from plainwire.cli.memory import keep_freed_memory
from plainwire.cli.messages import say
from plainwire.cli.options import BufferSize, Names
from plainwire.cli.outputs import OUTPUT_OPTIONS, open_outputs, output_options
from plainwire.errors import InputError

PATH = click.Path(path_type=Path)


class ExpressionAndCommand(click.Command):
    """Takes words before `--` as a packet filter and those after it as the command to run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words, separator, command = list(args), "--" in args, []
        if separator:
            words, command = args[: args.index("--")], args[args.index("--") + 1 :]
        rest = super().parse_args(ctx, words)
        ctx.params["command"] = tuple(command)
        return rest


@click.command(cls=ExpressionAndCommand)
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, metavar="N", help="Only this process.")
@click.option("--follow", is_flag=True, help="With --pid: also the processes that it starts from now on.")
@click.option("--uid", type=click.IntRange(0), metavar="N", help="Only processes of this user.")
@click.option("--comm", "comms", multiple=True, metavar="NAME", help="Only processes of this name.")
@click.option(
    "--lib", "--elf", "libraries", type=PATH, multiple=True, metavar="PATH", help="Only this TLS library or Go program."
)
@click.option(
    "--module",
    "modules",
    type=Names(),
    multiple=True,
    metavar="NAME,…",
    help="Only these modules (see `plainwire maps`); bash and zsh capture the commands entered in shells.",
)
@click.option(
    "--return-code",
    type=click.IntRange(0, 255),
    metavar="N",
    help="Of shells' commands, those that returned N; 128: all.",
)
@output_options
@click.option("--record", type=PATH, metavar="FILE", help="Also keep the raw events, for `plainwire read`.")
@click.option(
    "--keys-by",
    type=click.Choice(["auto", "log", "structure"]),
    default="auto",
    help="How secrets are got: the library's own key log function, its connections' structures, or what is better.",
)
@click.option(
    "--verify-keys", is_flag=True, help="Get secrets in both ways, and write only those on which the two agree."
)
@click.option("--no-data", is_flag=True, help="Capture no plaintext: with --keylog, secrets alone.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="S", help="End after so many seconds.")
@click.option("--max-events", type=click.IntRange(1), metavar="N", help="End after so many data events.")
@click.option(
    "--connections",
    type=click.Choice(["captured", "all", "none"]),
    default="captured",
    help="Whose opening and end is told: those with captured data, every TCP connection, or none.",
)
@click.option(
    "--hooks",
    type=click.Choice(["auto", "tracepoint", "kprobe", "fentry"]),
    default="auto",
    help="How to attach to the kernel, where `plainwire doctor` shows several ways; the first that works.",
)
@click.option("--transport", type=click.Choice(["auto", "ring", "perf"]), default="auto", help="Kind of event buffer.")
@click.option(
    "--buffer-size", type=BufferSize(), default=DEFAULT_BUFFER_SIZE, metavar="SIZE", help="Of the event buffer; 64M."
)
@click.option("--userspace-filter", is_flag=True, help="Filter here instead of in the kernel.")
@click.option(
    "-i", "--interface", "interfaces", multiple=True, metavar="NAME", help="Capture packets there too; any: everywhere."
)
@click.option(
    "--snaplen", type=click.IntRange(1), default=DEFAULT_SNAPLEN, metavar="N", help="Bytes of each packet; all."
)
@click.argument("expression", nargs=-1, metavar="[EXPRESSION] [-- COMMAND...]")
def command(
    record: Path | None,
    keys_by: KeysBy,
    no_data: bool,
    command: tuple[str, ...],
    expression: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Show what programs send and receive over TLS.

    With -- COMMAND it starts the command, shows it and what it starts, and passes its exit status on.

    With -i it captures packets too, for --pcapng; EXPRESSION chooses among them, in the syntax of tcpdump.
    """
    shown = {name: chosen.pop(name) for name in OUTPUT_OPTIONS}
    packet_filter = " ".join(expression)
    _check_packets(chosen["interfaces"], packet_filter, shown["pcapng"])
    keep_freed_memory()
    caller = sudo_caller()
    owner = (caller.uid, caller.gid) if caller else None
    pcapng, keylog = shown["pcapng"], shown["keylog"]
    if chosen["verify_keys"] and not (keylog or pcapng):
        raise InputError("--verify-keys needs --keylog FILE or --pcapng FILE")
    if no_data and not (pcapng or keylog or record):
        raise InputError("--no-data leaves nothing to capture: add --keylog FILE or --pcapng FILE")
    chosen["modules"] = [name for names in chosen["modules"] for name in names]
    chosen |= {"data": not no_data, "keys_by": keys_by if keylog or pcapng else None}
    outputs = open_outputs(**shown, owner=owner, snaplen=chosen["snaplen"], packet_filter=packet_filter)
    options = CaptureOptions(command=command, packet_filter=packet_filter, **chosen)
    with Capture(options, record=record, owner=owner, warn=say) as capture:
        status = LiveRun(capture, outputs).until_end()
    sys.exit(status)


def _check_packets(interfaces: tuple[str, ...], packet_filter: str, pcapng: Path | None) -> None:
    if packet_filter and not interfaces:
        raise InputError(
            f"{packet_filter!r} is taken for a packet filter, which needs -i; a command to run stands after --"
        )
    if pcapng and not interfaces:
        raise InputError("--pcapng needs to know where to capture packets: -i NAME, or -i any")
