"""One live capture: starts it, waits for what the kernel tells, and turns it into records."""

from __future__ import annotations

import os
import platform
import select
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from plainwire import __version__
from plainwire.capture.command import Command
from plainwire.capture.connection_seeker import ConnectionSeeker
from plainwire.capture.discovery import Discovery
from plainwire.capture.key_attacher import KeyAttacher
from plainwire.capture.key_finder import KeyFinder
from plainwire.capture.layout_learner import LayoutLearner
from plainwire.capture.options import CaptureOptions
from plainwire.capture.packets import PacketRecords
from plainwire.capture.processes import ProcessTracker
from plainwire.decode import abi
from plainwire.decode.btf import Btf
from plainwire.decode.layout import compile_layout
from plainwire.decode.records import (
    FORMAT,
    AnyRecord,
    Clock,
    End,
    Header,
    Layout,
    Losses,
    Samples,
)
from plainwire.errors import InputError
from plainwire.inspect import process
from plainwire.kernel.engine import TARGET_FOLLOW, TARGET_PROCESS, TARGET_STOP, Engine, Filters
from plainwire.modules import Module, all_modules

# After each round the reader sleeps: while it lags behind, the kernel wakes nobody, and a wake-up for every event
# would cost the traced program more than the capture itself (docs/architecture.md).
_PAUSE_S = 0.005
# A perf buffer wakes nobody at all, so it is looked at as often as this.
_PERF_PERIOD_S = 0.025
# The start, and a stopped process, wait for layouts so long at most: with them the first event has its connection.
_LAYOUTS_S = 1.0
_CLOCK_PERIOD_NS = 10_000_000_000
_LOSSES_PERIOD_NS = 1_000_000_000


class Session:
    """Use as a context manager; iterate over `records()` inside. `stop()` may be called from anywhere, also twice."""

    def __init__(self, options: CaptureOptions, warn: Callable[[str], None]) -> None:
        self.options = options
        self.modules = _chosen_modules(options.modules)
        self.command: Command | None = None
        self.packets: PacketRecords | None = None
        self.tick_at: int | None = None  # when a Clock record is wanted at the latest (CLOCK_MONOTONIC, ns)
        self._warn = warn
        self._follow = options.follow or bool(options.command)
        self._stopped = False
        self._wake_reader, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._tracker = ProcessTracker()
        self._last_losses: dict[str, int] = {}
        self._keys: KeyAttacher | None = None
        self._watched_pipe: int | None = None

    def __enter__(self) -> Session:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _start(self) -> None:
        options = self.options
        if options.return_code is not None and not any(module.prompt_hooks for module in self.modules):
            raise InputError("--return-code chooses among the commands of shells: add --module bash,zsh")
        if options.userspace_filter and self._follow:
            raise InputError("--userspace-filter can't follow a process's children: leave out --follow and COMMAND")
        for pid in options.pids:
            process.process(pid)  # raises for a pid that is none
        if options.command:
            self.command = Command(options.command)
        pids = (*options.pids, self.command.pid) if self.command else options.pids
        by_pids = bool(pids) and (self._follow or len(pids) > 1)
        self._engine = Engine(
            self.modules,
            Filters(
                pid=pids[0] if pids and not by_pids else None,
                uid=options.uid,
                by_pids=by_pids,
                by_comms=bool(options.comms),
                in_userspace=options.userspace_filter,
            ),
            options.transport,
            options.buffer_size,
            data=options.data,
            keys=options.keys_by is not None,
            hooks=options.hooks,
            connections=options.connections,
            return_code=options.return_code,
            payload=options.payload,
        )
        for pid in pids:
            self._engine.add_target(pid, self._target_flags())
        for comm in options.comms:
            self._engine.add_comm(comm)
        self._read_layouts()
        self._learner = LayoutLearner(self._engine)
        self._seeker = ConnectionSeeker(self._engine.record_seekers, self._warn)
        if options.keys_by:
            finder = KeyFinder(deep=bool(pids or options.libraries), leaving_out=self._engine.leaving_out)
            self._keys = KeyAttacher(self._engine, finder, options.keys_by, both=options.verify_keys)
        self._discovery = Discovery(
            self._engine,
            self.modules,
            self._learner,
            everywhere=self._follow or not pids,
            data=options.data,
            keys=self._keys,
            warn=self._warn,
        )
        with ThreadPoolExecutor(max_workers=1) as beside:  # most of the time is the kernel's verifier's
            following = beside.submit(self._engine.follow_connections)
            self._attach(pids)
            for lack in following.result():
                self._warn(lack)

    def _attach(self, pids: tuple[int, ...]) -> None:
        options = self.options
        if options.modules or options.hooks != "auto":
            # What was asked for must be there. All else is loaded when a file needs it, or beside the capture.
            for module in self.modules:
                for lack in self._engine.prepare(module):
                    self._warn(lack)
        self._engine.watch_processes()
        if options.interfaces:
            self.packets = PacketRecords(self._engine, options, self._warn, self._tracker.container)
        self._find_libraries(pids)
        self._learner.finish(_LAYOUTS_S)
        if self._keys and not self.command:
            self._keys.attach_old_processes(pids or process.pids())

    def _target_flags(self) -> int:
        if self.command:
            return TARGET_PROCESS | TARGET_FOLLOW | TARGET_STOP
        return TARGET_PROCESS | (TARGET_FOLLOW if self._follow else 0)

    def _find_libraries(self, pids: tuple[int, ...]) -> None:
        if self.options.libraries:
            for path in self.options.libraries:
                for pid in pids if pids and not self._follow else (0,):
                    self._discovery.attach_path(path, pid=pid)
        elif self._follow or not pids:
            self._discovery.attach_cached()
            self._discovery.scan_all()
        else:
            for pid in pids:
                self._discovery.scan(pid)

    def _read_layouts(self) -> None:
        btf = Btf(self._engine.process_layout())
        kinds = abi.event_kinds(btf)
        self._exec_kind = kinds[abi.PROCESS_EXEC]
        self._fork_kind = kinds[abi.PROCESS_FORK]
        self._exit_kind = kinds[abi.PROCESS_EXIT]
        self._exec_layout = compile_layout(abi.ExecEvent, "exec_event_t", btf)
        self._process_layout = compile_layout(abi.ProcessEvent, "process_event_t", btf)

    @property
    def library_count(self) -> int:
        """How many files with TLS are attached."""
        return self._discovery.count - self._discovery.shell_count

    @property
    def shell_count(self) -> int:
        """How many shells, as files, are attached."""
        return self._discovery.shell_count

    def serves(self, pid: int) -> bool:
        """Whether a process uses a file that is attached. From the thread that iterates over `records()`."""
        return self._discovery.serves(pid)

    def stop(self) -> None:
        """End `records()` after what has been captured by now. Safe in a signal handler."""
        self._stopped = True
        with suppress(OSError):
            os.write(self._wake, b"s")

    def stop_when_closed(self, fd: int) -> None:
        """End `records()` when the reader at the other end of this pipe has gone, even if there is nothing to write."""
        self._watched_pipe = fd

    def records(self) -> Iterator[AnyRecord]:
        """Everything that is captured, as it comes, until `stop()`, the end of COMMAND or of the duration."""
        started = time.monotonic_ns()
        deadline = started + int(self.options.duration * 1e9) if self.options.duration is not None else None
        yield Header(FORMAT, __version__, platform.machine(), platform.release(), started, self.options.settings())
        for module, btf in self._engine.layouts():
            yield Layout(module, btf)
        yield _clock()
        if self.packets:
            yield from self.packets.begin()
        if self.command:
            self.command.release()
        else:  # a command's programs wait until they are attached to, and for what that takes
            self._engine.load_rest()
        yield from self._capture(started, deadline)
        self._engine.detach()
        yield from self._read_processes(final=True)
        more = True
        while more:
            samples, more = self._engine.data.drain(final=True)
            yield from self._samples(samples)
        yield from self._samples(self._engine.unfinished_commands())
        if self.packets:
            yield from self.packets.finish()
        yield from self._losses()
        yield End(time.monotonic_ns())

    def _capture(self, started: int, deadline: int | None) -> Iterator[AnyRecord]:
        quiet, busy = select.epoll(), select.epoll()
        for poll in (quiet, busy):
            poll.register(self._wake_reader, select.EPOLLIN)
            if self._engine.processes.wakeup_fd is not None:
                poll.register(self._engine.processes.wakeup_fd, select.EPOLLIN)
            if self.command:
                poll.register(self.command.pidfd, select.EPOLLIN)
            if self._watched_pipe is not None:
                with suppress(PermissionError):  # a file, which has no other end
                    poll.register(self._watched_pipe, 0)  # EPOLLERR is always told
        if self._engine.data.wakeup_fd is not None:
            busy.register(self._engine.data.wakeup_fd, select.EPOLLIN)
        if self.packets:
            busy.register(self.packets.interfaces_fd, select.EPOLLIN)
            busy.register(self.packets.wakeup_fd, select.EPOLLIN)
        next_clock, next_losses, pause_until, unreported = started + _CLOCK_PERIOD_NS, started, 0, False
        while not self._stopped:
            now = time.monotonic_ns()
            if deadline is not None and now >= deadline:
                break
            if now < pause_until:
                ready = quiet.poll((pause_until - now) / 1e9)
            else:
                ready = busy.poll(self._patience(now, deadline, next_losses if unreported else None))
            if any(fd == self._watched_pipe or (self.command and fd == self.command.pidfd) for fd, _ in ready):
                break
            yield from self._read_processes()
            now = time.monotonic_ns()
            if now < pause_until:
                continue
            samples, more = self._engine.data.drain()
            packets, more_packets = self.packets.drain() if self.packets else ([], False)
            if (samples or packets) and now >= next_clock:
                yield _clock()
                next_clock = now + _CLOCK_PERIOD_NS
            if samples:
                self._seeker.look(now)
                yield from self._samples(samples)
                unreported = True
            if self.tick_at is not None and now >= self.tick_at:
                yield _clock()
            yield from packets
            more = more or more_packets
            if unreported and now >= next_losses:
                yield from self._losses()
                unreported, next_losses = False, now + _LOSSES_PERIOD_NS
            pause_until = 0 if more else time.monotonic_ns() + int(_PAUSE_S * 1e9)
        quiet.close()
        busy.close()

    def _patience(self, now: int, deadline: int | None, next_losses: int | None) -> float:
        """Seconds to wait at most; -1 for ever."""
        moments = [moment for moment in (deadline, next_losses, self.tick_at) if moment is not None]
        moment = self.packets.next_moment(now) if self.packets else None
        if moment is not None:
            moments.append(moment)
        if self._engine.data.wakeup_fd is None:
            moments.append(now + int(_PERF_PERIOD_S * 1e9))
        return max(0.0, (min(moments) - now) / 1e9) if moments else -1

    def _samples(self, samples: list[bytes]) -> Iterator[AnyRecord]:
        if not samples:
            return
        # A process that began after the last look, sent this and has ended, is known from its exec event alone.
        yield from self._read_processes()
        yield from self._discovery.take_new()
        # An event's pid is behind kind, 4 bytes, and timestamp_ns (bpf/abi.h).
        pids = {sample[16:20] for sample in samples}
        yield from self._tracker.needed(int.from_bytes(pid, "little") for pid in pids)
        yield Samples(samples)

    def _losses(self) -> Iterator[AnyRecord]:
        losses = self._engine.losses()
        if losses != self._last_losses:
            if losses.get("process_events") != self._last_losses.get("process_events"):
                self._find_libraries(self.options.pids)  # a process or a library may have gone unnoticed
            self._last_losses = losses
            yield Losses(time.monotonic_ns(), losses)

    def _read_processes(self, *, final: bool = False) -> Iterator[AnyRecord]:
        more = True
        while more:
            samples, more = self._engine.processes.drain(final=final)
            for sample in samples:
                yield from self._process_event(sample)

    def _process_event(self, sample: bytes) -> Iterator[AnyRecord]:
        kind = int.from_bytes(sample[:4], "little")
        if kind == self._exec_kind:
            executed = self._exec_layout.read(sample)
            self._look_at(executed.pid, stopped=bool(executed.stopped))
            yield from self._tracker.executed(executed)
            return
        event = self._process_layout.read(sample)
        if kind == self._fork_kind:
            yield from self._tracker.forked(event)
        elif kind == self._exit_kind:
            self._tracker.exited(event.pid)
            if self.packets:
                self.packets.exited(event.pid)
        else:
            self._look_at(event.pid, stopped=bool(event.stopped))

    def _look_at(self, pid: int, *, stopped: bool) -> None:
        """Attach to what a process has just loaded; it may be waiting for that."""
        try:
            if not self.options.libraries:
                self._discovery.scan(pid)
        finally:
            if stopped:
                self._learner.finish(_LAYOUTS_S)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Take everything away. Safe after a failed start."""
        if self.command:
            self.command.close()
        seeker = getattr(self, "_seeker", None)
        if seeker is not None:
            seeker.close()
        learner = getattr(self, "_learner", None)
        if learner is not None:
            learner.close()
        if self.packets:
            self.packets.close()
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.close()
            del self._engine
        for fd in (self._wake_reader, self._wake):
            with suppress(OSError):
                os.close(fd)


def _clock() -> Clock:
    return Clock(time.monotonic_ns(), time.time_ns())


def _chosen_modules(names: tuple[str, ...]) -> tuple[Module, ...]:
    modules = all_modules()
    for name in names:
        if name not in modules:
            raise InputError(f"no module {name}; there are: {', '.join(modules)}")
    default = [name for name, module in modules.items() if not module.on_request]
    return tuple(modules[name] for name in dict.fromkeys(names) or default)
