"""Book: verdicts become rows, batched and fenced by owner, however long Postgres takes to come back."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat import metrics
from mailboat.db import engine, statements
from mailboat.db.states import State
from mailboat.delivery.batcher import Batcher
from mailboat.domain.verdict import Fate, Verdict

log = structlog.get_logger()
FLUSHERS = 2
LIMIT = 1024
NOBODY = "none"  # the provider of an attempt that got to none
LONGEST_DETAIL = 2000
# What no other try would change.
UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


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
        provider, verdict = booking.provider, booking.verdict
        metrics.ATTEMPTS.inc(provider or NOBODY, verdict.outcome, verdict.ends)
        if provider is not None:
            metrics.SEND_SECONDS.observe(booking.seconds, provider)

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
        metrics.BOOK_BATCH.observe(len(bookings))
        batches = [bookings]
        while batches:
            batch = batches.pop()
            refusal = await self._book(batch)
            if refusal is None:
                continue
            if len(batch) > 1:  # halve it until the one at fault stands alone
                batches += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            else:
                await self._book_bare(batch[0], refusal)
        return [None] * len(bookings)

    async def _book_bare(self, booking: Booking, refusal: asyncpg.PostgresError) -> None:
        """What became of the mail, without the words that Postgres refuses."""
        log.error("verdict refused", message_id=str(booking.id), error=str(refusal))
        fates = {email: Fate(fate.status, "") for email, fate in booking.verdict.fates.items()}
        detail = f"the database refused the detail: {refusal}"
        verdict = msgspec.structs.replace(booking.verdict, detail=detail, fates=fates)
        bare = msgspec.structs.replace(booking, provider_message_id=None, verdict=verdict)
        refusal_again = await self._book([bare])
        if refusal_again is not None:  # the reconciler takes the message over
            log.error("verdict lost", message_id=str(booking.id), error=str(refusal_again))

    async def _book(self, bookings: list[Booking]) -> asyncpg.PostgresError | None:
        """Try until Postgres answers; its refusal, if something in these cannot be stored at all."""
        columns = list(map(list, zip(*map(_row, bookings), strict=True)))
        pause = 0.05
        while True:
            try:
                connection = await self._connect()
                await connection.fetch(statements.BOOK, *columns, self._owner, timeout=10)
            except UNSTORABLE as error:
                return error
            except (*engine.AWAY, asyncpg.PostgresError) as error:
                self._booker.healthy.clear()
                log.warning("booking waits for postgres", verdicts=len(bookings), error=str(error))
                if self._connection is not None:
                    self._connection.terminate()
                await engine.pause(pause * (0.5 + random.random()))
                pause = min(2.0, pause * 2)
            else:
                self._booker.healthy.set()
                return None

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
    detail = storable(verdict.detail)
    fates = {email: Fate(fate.status, storable(fate.detail)) for email, fate in verdict.fates.items()}
    return (
        booking.id,
        booking.attempt,
        State[verdict.ends.upper()],
        verdict.delay,
        booking.provider,
        storable(booking.provider_message_id or "") or None,
        None if verdict.ends == "sent" else detail,
        verdict.outcome,
        detail,
        msgspec.json.encode(fates).decode() if fates else None,
        booking.started_at,
        booking.seconds,
    )


def storable(text: str) -> str:
    """What a provider said, as far as Postgres can keep it: no NUL, no half of a surrogate pair, not endless."""
    return text[:LONGEST_DETAIL].replace("\0", "").encode("utf-8", "replace").decode()
