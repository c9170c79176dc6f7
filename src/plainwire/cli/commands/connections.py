"""`plainwire connections`: who talks to whom over TLS, as a live table or as it is now."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plainwire.capture.api import Capture
from plainwire.capture.connection_table import ConnectionTable
from plainwire.capture.options import CaptureOptions
from plainwire.cli.messages import say
from plainwire.decode.clock import WallClock
from plainwire.errors import InputError
from plainwire.events import ConnectionState

if TYPE_CHECKING:
    from rich.console import Console

_ONCE_S = 2.0
_REFRESH_S = 0.5


@click.command()
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True, metavar="N", help="Only this process.")
@click.option("--uid", type=click.IntRange(0), metavar="N", help="Only processes of this user.")
@click.option("--comm", "comms", multiple=True, metavar="NAME", help="Only processes of this name.")
@click.option("--once", is_flag=True, help="Listen for 2 s, or the duration, then show what is open, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON object a line (docs/connections.md).")
@click.option("--duration", type=click.FloatRange(0, min_open=True), metavar="S", help="End after so many seconds.")
def command(
    pids: tuple[int, ...], uid: int | None, comms: tuple[str, ...], once: bool, as_json: bool, duration: float | None
) -> None:
    """Show the open connections of processes that use TLS.

    Version, cipher and bytes are known of connections that moved data while it ran.
    """
    from rich.console import Console  # noqa: PLC0415  # of all commands, few draw tables

    if as_json and not once:
        raise InputError("--json goes with --once: a live table is for a terminal")
    console = Console()
    if not once and (not console.is_terminal or console.is_dumb_terminal):
        say("no terminal to draw on: showing what is open after 2 s, or --duration S, as --once does")
        once = True
    options = CaptureOptions(
        pids=pids,
        uid=uid,
        comms=comms,
        duration=duration or (_ONCE_S if once else None),
        connections="all",
        payload=False,
    )
    warnings: list[str] = []
    with Capture(options, warn=warnings.append) as capture:
        watch = Watch(capture)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: capture.stop())
        if once:
            watch.run()
            _show_once(watch, console, as_json=as_json)
        else:
            _show_live(watch, console)
    for warning in warnings:
        say(warning)


class Watch:
    """A capture that fills a table. `states` may be asked for from another thread than `run`'s."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._table = ConnectionTable(capture.session.serves)
        self._lock = threading.Lock()
        self._started_ns = time.monotonic_ns()

    def run(self) -> None:
        """Until the capture ends."""
        for events in self._capture.batches():
            with self._lock:
                self._table.feed(events)

    def stop(self) -> None:
        """End `run`."""
        self._capture.stop()

    @property
    def lost(self) -> int:
        """Events."""
        return self._table.lost

    @property
    def listened_ns(self) -> int:
        """How long it has run."""
        return time.monotonic_ns() - self._started_ns

    def states(self) -> list[ConnectionState]:
        """What is open now."""
        clock, now_ns = WallClock(), time.monotonic_ns()
        clock.set(now_ns, time.time_ns())
        with self._lock:
            self._table.forget(pid for pid in self._table.pids() if not Path(f"/proc/{pid}").exists())
            return self._table.states(clock.text(now_ns), now_ns)


def _show_once(watch: Watch, console: Console, *, as_json: bool) -> None:
    from plainwire.cli.connection_view import connection_view  # noqa: PLC0415
    from plainwire.outputs.json import JsonFormat  # noqa: PLC0415

    states = watch.states()
    if as_json:
        sys.stdout.buffer.write(JsonFormat().encode(states))
        if watch.lost:
            say(f"{watch.lost} events were lost: the bytes are too few")
        return
    width = console.width if console.is_terminal else None
    if width is None:
        console.width = 1 << 16  # nothing is cut in a file
    console.print(connection_view(states, watch.lost, listened_ns=watch.listened_ns, width=width))


def _show_live(watch: Watch, console: Console) -> None:
    from rich.live import Live  # noqa: PLC0415

    from plainwire.cli.connection_view import connection_view  # noqa: PLC0415

    problems: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            watch.run()
        except BaseException as error:  # raised below, where the terminal is whole again
            problems.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="capture")
    thread.start()
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                view = connection_view(
                    watch.states(),
                    watch.lost,
                    listened_ns=watch.listened_ns,
                    width=console.width,
                    height=console.height,
                )
                live.update(view, refresh=True)
                if ended.wait(_REFRESH_S):
                    break
    finally:
        watch.stop()
        thread.join()
    if problems:
        raise problems[0]
