"""Runs a live capture on a terminal: announces it, writes its events, ends it on a signal, tells what it saw."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from plainwire.capture.api import Capture
from plainwire.capture.explain import explain
from plainwire.cli.messages import say
from plainwire.errors import PlainwireError
from plainwire.events import StatsEvent
from plainwire.inspect import process
from plainwire.outputs import OutputSet, style_for, summary
from plainwire.outputs.clean import clean_name
from plainwire.outputs.words import counted

_STDOUT, _STDERR = 1, 2
# Asked to end, plainwire does so within 2 s; the command that it started gets the larger part of them.
_COMMAND_GRACE_S = 1.0


class LiveRun:
    """One run of an entered capture. Its outputs are closed at the end."""

    def __init__(self, capture: Capture, outputs: OutputSet) -> None:
        self._capture = capture
        self._session = capture.session
        self._outputs = outputs
        self._signal = 0

    def until_end(self) -> int:
        """The exit status: the command's, if there is one."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._session.stop_when_closed(_STDOUT)
        self._announce()
        self._write_events()
        return self._end_command()

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number
        self._capture.stop()

    def _announce(self) -> None:
        files = self._session.library_count
        where = f"{files} TLS librar{'y' if files == 1 else 'ies'}"
        shells = self._session.shell_count
        if shells and not files:
            where = counted(shells, "shell")
        elif shells:
            where += f", {counted(shells, 'shell')}"
        elif files == 0:
            where = "no TLS library yet; waiting for a process that loads one"
        if self._session.packets:
            where += f"; packets of {', '.join(self._session.packets.interface_names) or 'no interface yet'}"
        say(f"capturing ({where}); Ctrl-C ends it", prefix=False)
        options = self._session.options
        names = _process_names() if options.comms else set()
        for comm in options.comms:
            if comm.encode()[:15].decode(errors="replace") not in names:
                say(f"no process is named {clean_name(comm)} yet; waiting for one")

    def _write_events(self) -> None:
        stats: StatsEvent | None = None
        try:
            for events in self._capture.batches():
                self._outputs.write(events)
                if not self._outputs.active:
                    self._capture.stop()
                last = events[-1]
                if isinstance(last, StatsEvent):
                    stats = last
            self._outputs.close()
        except BrokenPipeError:
            # The reader of our output has seen enough; what would be flushed at exit has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
            return
        if stats:
            say(summary(stats, style_for(_STDERR)), prefix=False)
            if stats.events == stats.secrets == stats.commands == 0 and not self._session.packets:
                self._explain_nothing()

    def _explain_nothing(self) -> None:
        options = self._session.options
        for pid in options.pids:
            try:
                found = explain(pid)
            except PlainwireError as error:
                say(f"nothing of {pid}: {error}")
                continue
            used = {module.name for module in self._session.modules}
            served = {library.module for library in found.libraries if library.module}
            if not found.capturable:
                reason = found.reason
            elif not served & used:
                reason = f"what it has is captured with --module {','.join(sorted(served))}"
            elif found.children and not options.follow:
                reason = (
                    "it made no TLS call meanwhile; its children are processes of their own: try --follow or theirs"
                )
            else:
                reason = "it made no TLS call meanwhile"
            say(f"nothing of {clean_name(found.comm)}[{pid}]: {clean_name(reason or '')}")
        if not options.pids:
            say(
                "nothing captured: `plainwire explain PID` tells why of one process, `plainwire doctor` of this machine"
            )

    def _end_command(self) -> int:
        command = self._session.command
        if command is None:
            return 0
        if not self._signal:
            return command.wait()
        # Ctrl-C on a terminal reaches the command by itself; a signal to plainwire alone does not.
        if self._signal == signal.SIGTERM or not command.wait_for(_COMMAND_GRACE_S / 2):
            command.send_signal(signal.SIGTERM)
        return command.wait() if command.wait_for(_COMMAND_GRACE_S) else 128 + self._signal


def _process_names() -> set[str]:
    names = set()
    for pid in process.pids():
        with suppress(PlainwireError):
            names.add(process.process(pid).comm)
    return names
