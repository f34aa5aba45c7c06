"""Group commit without a timer: whoever is free takes everything that waits.

Alone, an item is flushed at once; under load, batches grow to what arrived during the flush before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Flush = Callable[[list[Item]], Awaitable[Sequence[Result]]]


class Batcher(Generic[Item, Result]):
    """Hands items to `flushers` in batches of at most `limit`; each flusher has one batch at a time.

    A flusher returns one result per item, in order; what it raises, every item of its batch gets. With `patience`, an
    item that no flusher has taken for so many seconds is dropped, and gets a TimeoutError.
    """

    def __init__(
        self, flushers: Sequence[Flush[Item, Result]], *, limit: int = 512, patience: float | None = None
    ) -> None:
        self._limit, self._patience = limit, patience
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Item, asyncio.Future[Result], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run(flush)) for flush in flushers]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """A future for the item's result."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.append((item, future, self._loop.time()))
        self._arrived.set()
        if self._timer is None and self._patience is not None:
            self._timer = self._loop.call_later(self._patience, self._expire)
        return future

    def _expire(self) -> None:
        """One timer for all that wait: it drops those that have waited too long, and looks again at the next one's."""
        self._timer = None
        assert self._patience is not None
        oldest = self._loop.time() - self._patience
        while self._waiting and self._waiting[0][2] <= oldest:
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_exception(TimeoutError())
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][2] + self._patience, self._expire)

    async def _run(self, flush: Flush[Item, Result]) -> None:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            size = min(self._limit, len(self._waiting))
            batch = [self._waiting.popleft()[:2] for _ in range(size)]
            await self._flush(flush, batch)

    async def _flush(self, flush: Flush[Item, Result], batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await flush([item for item, _ in batch])
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            for _, future in batch:
                if not future.done():
                    future.cancel() if cancelled else future.set_exception(error)
            if cancelled or not isinstance(error, Exception):
                raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def close(self) -> None:
        """Stop the flushers; items that still wait are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._waiting.popleft()[1].cancel()
