"""The Python API: a capture as a context manager to iterate over, with `with` and `for` or with their async forms."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from plainwire.capture.options import CaptureOptions, OptionFields
from plainwire.capture.session import Session
from plainwire.decode.decoder import Decoder
from plainwire.events import AnyEvent
from plainwire.recording.writer import Writer

if TYPE_CHECKING:
    from plainwire.capture.async_events import AsyncEvents

_log = logging.getLogger("plainwire")


class Capture:
    """What programs send and receive over TLS, from now on.

        with plainwire.Capture(pids=[1234]) as capture:
            for event in capture:
                ...

        async with plainwire.Capture(comms=["curl"]) as capture:
            async for event in capture:
                ...

    The keyword arguments are the fields of CaptureOptions; lists do for its tuples. Iteration ends after `stop()`,
    the duration, max_events or the end of the command; its last event is a StatsEvent. Entering raises PlainwireError
    where nothing can be captured, and says why. It needs the same permissions as the command.

    record: also keep the raw events in this file, for `plainwire read`; owner: uid and gid that it is given to.
    warn: receives one line for each library that can't be attached; the logger "plainwire" if not given.
    """

    def __init__(
        self,
        options: CaptureOptions | None = None,
        *,
        record: Path | None = None,
        owner: tuple[int, int] | None = None,
        warn: Callable[[str], None] = _log.warning,
        **fields: Unpack[OptionFields],
    ) -> None:
        self.session = Session(options or CaptureOptions.of(**fields), warn)
        self._decoder = Decoder()
        self._record = record
        self._owner = owner
        self._recorder: Writer | None = None
        self._batches = self._decode()

    def stop(self) -> None:
        """End the iteration after what has been captured by now. From any thread, or from a signal handler."""
        self.session.stop()

    def batches(self) -> Iterator[Sequence[AnyEvent]]:
        """The events as they come, several at a time: for those who handle many."""
        return self._batches

    def _decode(self) -> Iterator[Sequence[AnyEvent]]:
        for record in self.session.records():
            if self._recorder:
                self._recorder.write(record)
            events = self._decoder.feed(record)
            if events:
                yield events
            self.session.tick_at = self._decoder.waits_until
            if self._decoder.finished:
                self.session.stop()

    def __enter__(self) -> Self:
        self._recorder = Writer(self._record, self._owner) if self._record else None
        try:
            self.session.__enter__()
        except BaseException:
            self._close_recorder()
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.session.__exit__(exception_type, exception, traceback)
        self._close_recorder()

    def _close_recorder(self) -> None:
        if self._recorder:
            self._recorder.close()
            self._recorder = None

    def __iter__(self) -> Iterator[AnyEvent]:
        for batch in self._batches:
            yield from batch

    @cached_property
    def _async_events(self) -> AsyncEvents:
        # asyncio is imported for those who use it: it would take a tenth of the start of every capture.
        from plainwire.capture.async_events import AsyncEvents  # noqa: PLC0415

        return AsyncEvents(self._batches)

    async def __aenter__(self) -> Self:
        return await self._async_events.in_thread(self.__enter__)

    async def __aexit__(self, *_exception: object) -> None:
        self.stop()
        await self._async_events.settle()
        await self._async_events.in_thread(self.__exit__, None, None, None)

    def __aiter__(self) -> AsyncIterator[AnyEvent]:
        return self

    async def __anext__(self) -> AnyEvent:
        return await anext(self._async_events)
