"""Book: verdicts become rows, batched and fenced by owner, however long Postgres takes to come back."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat.db import engine, statements
from mailboat.db.states import State
from mailboat.delivery.batcher import Batcher
from mailboat.domain.verdict import Verdict

log = structlog.get_logger()
FLUSHERS = 2
LIMIT = 1024
LONGEST_DETAIL = 2000


class Booking(msgspec.Struct, frozen=True):
    """One attempt with its verdict. `seconds`: how long it took."""

    id: UUID
    attempt: int
    provider: str | None
    provider_message_id: str | None
    verdict: Verdict
    started_at: datetime
    seconds: float


class Booker:
    """Books over dedicated connections. `healthy` is clear while Postgres does not answer: nobody claims then."""

    def __init__(self, dsn: str, owner: int) -> None:
        self._stores = [_Store(dsn, owner, self) for _ in range(FLUSHERS)]
        self._batcher: Batcher[Booking, None] = Batcher([store.flush for store in self._stores], limit=LIMIT)
        self.healthy = asyncio.Event()
        self.healthy.set()

    async def book(self, booking: Booking) -> None:
        """Returns when the verdict is durable."""
        await self._batcher.submit(booking)

    async def close(self) -> None:
        await self._batcher.close()
        await asyncio.gather(*(store.close() for store in self._stores))


class _Store:
    def __init__(self, dsn: str, owner: int, booker: Booker) -> None:
        self._dsn, self._owner, self._booker = dsn, owner, booker
        self._connection: asyncpg.Connection | None = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    async def flush(self, bookings: list[Booking]) -> list[None]:
        """A verdict is never dropped: it is tried until it is in, and trying twice changes nothing."""
        columns = list(map(list, zip(*map(_row, bookings), strict=True)))
        pause = 0.05
        while True:
            try:
                connection = await self._connect()
                await connection.fetch(statements.BOOK, *columns, self._owner, timeout=10)
            except (*engine.AWAY, asyncpg.PostgresError) as error:
                self._booker.healthy.clear()
                log.warning("booking waits for postgres", verdicts=len(bookings), error=str(error))
                if self._connection is not None:
                    self._connection.terminate()
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(2.0, pause * 2)
            else:
                self._booker.healthy.set()
                return [None] * len(bookings)

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await engine.connect(
                self._dsn,
                name="mailboat-book",
                enable_seqscan="off",
                enable_hashjoin="off",
                enable_mergejoin="off",
            )
        return self._connection


def _row(booking: Booking) -> tuple[object, ...]:
    """In the order of `statements.BOOK_COLUMNS`."""
    verdict = booking.verdict
    detail = verdict.detail[:LONGEST_DETAIL].replace("\0", "")
    return (
        booking.id,
        booking.attempt,
        State[verdict.ends.upper()],
        verdict.delay,
        booking.provider,
        booking.provider_message_id or None,
        None if verdict.ends == "sent" else detail,
        verdict.outcome,
        detail,
        msgspec.json.encode(verdict.fates).decode() if verdict.fates else None,
        booking.started_at,
        booking.seconds,
    )
