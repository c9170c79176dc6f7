"""The events of a capture for asyncio: what waits for the kernel does so in a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Self, TypeVar

from plainwire.events import AnyEvent

T = TypeVar("T")


class AsyncEvents(AsyncIterator[AnyEvent]):
    """One event after another, out of the batches of a capture."""

    def __init__(self, batches: Iterator[Sequence[AnyEvent]]) -> None:
        self._batches = batches
        self._ready: deque[AnyEvent] = deque()
        self._pending: asyncio.Future[Sequence[AnyEvent] | None] | None = None

    @staticmethod
    async def in_thread(function: Callable[..., T], *arguments: object) -> T:
        """What the function returns; meanwhile others go on."""
        return await asyncio.to_thread(function, *arguments)

    async def settle(self) -> None:
        """Wait until no thread waits for a batch."""
        if self._pending is not None:
            await self._pending

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        while not self._ready:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self.in_thread(next, self._batches, None))
            # Shielded: a caller that gives up waiting (a timeout) must not lose the batch.
            batch = await asyncio.shield(self._pending)
            self._pending = None
            if batch is None:
                raise StopAsyncIteration
            self._ready.extend(batch)
        return self._ready.popleft()
