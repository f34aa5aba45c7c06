"""The reconciler: every worker looks after the whole queue, twice a second.

It releases what is due, rings for rows whose hint was lost, takes over from workers that are gone, and gives back what
this worker claimed without knowing it.
"""

from __future__ import annotations

import random
import time
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mailboat.db import engine, statements
from mailboat.db.states import Lane, State
from mailboat.delivery import ring
from mailboat.worker.owner import Owner, Watch

log = structlog.get_logger()
TICK_SECONDS = 0.5
RELEASED_AT_ONCE = 5000
LOST_AFTER_SECONDS = 2.0  # a queued row that nobody claimed although its lane's doorbell is silent
# Where the doorbell is never silent a lost hint shows when its row has become one of the oldest.
OVERDUE_SECONDS, OVERDUE_AT_ONCE, OVERDUE_TICKS = 10.0, 100, 10
SET_BACK_SECONDS = 1.0  # a smaller step only makes retries late


class Work(Protocol):
    """What this worker has in its hands: see `delivery.deliver.Deliverer`."""

    holding: dict[UUID, int]
    unsent: set[UUID]


class Reconciler:
    """One per worker; they skip each other's rows."""

    def __init__(
        self,
        *,
        pool: asyncpg.Pool,
        redis: Redis,
        owner: Owner,
        attempts: int,
        watch: Watch,
        work: Work,
    ) -> None:
        self._pool, self._redis, self._owner = pool, redis, owner
        self._attempts, self._watch, self._work = attempts, watch, work
        self._doorbell = ring.Doorbell(redis)
        self._ticks = 0
        self._clocks: tuple[datetime, float] | None = None  # Postgres's and ours, at the last tick

    async def run(self) -> None:
        """Tick, for ever."""
        while True:
            try:
                await self.tick()
            except (*engine.AWAY, asyncpg.PostgresError) as error:
                log.warning("reconciling failed", error=str(error) or type(error).__name__)
            await engine.pause(TICK_SECONDS * (0.75 + random.random() / 2))

    async def start(self) -> None:
        """At the start of a worker: what earlier lives of its slot left behind goes on at once."""
        await self._take_over(statements.TAKE_OVER_NAMESAKES, self._owner.name, self._owner.id)

    async def tick(self) -> None:
        """One look at everything. Raises what `engine.AWAY` names."""
        # What is claimed after this moment is not looked at for lost claims, however long a statement takes to arrive.
        moment = await self._pool.fetchval("select now()")
        if self._was_set_back(moment, time.monotonic()):
            log.warning("postgres's clock was set back", retries=await self._pool.execute(statements.SET_BACK))
        await self._ring(await self._pool.fetch(statements.RELEASE_DUE, RELEASED_AT_ONCE))
        silent = await self._silent_lanes()
        for lane in silent:
            await self._ring(await self._pool.fetch(statements.RING_AGAIN, lane, LOST_AFTER_SECONDS, RELEASED_AT_ONCE))
        self._ticks += 1
        if self._ticks % OVERDUE_TICKS == 0:
            for lane in set(Lane) - set(silent):
                overdue = await self._pool.fetch(statements.RING_AGAIN, lane, OVERDUE_SECONDS, OVERDUE_AT_ONCE)
                await self._ring(overdue)
        still = await self.look_after_others()
        if self._owner.may_take_over:
            await self._take_over(statements.TAKE_OVER_DEAD, list(still), list(still.values()))
        await self._let_go(moment)

    async def look_after_others(self) -> dict[int, datetime]:
        """The last beats of the workers whose heart stands still."""
        rows = await self._pool.fetch(statements.HEARTBEATS)
        return self._watch.still({row["id"]: row["heartbeat_at"] for row in rows})

    def _was_set_back(self, theirs: datetime, ours: float) -> bool:
        """Whether less time has passed for Postgres than for us since the last tick; a slow answer looks the same."""
        before, self._clocks = self._clocks, (theirs, ours)
        return before is not None and (theirs - before[0]).total_seconds() < ours - before[1] - SET_BACK_SECONDS

    async def _let_go(self, moment: datetime) -> None:
        """What is ours in the table but not in our hands, or in our hands no more: given back, or taken over."""
        holding, unsent = set(self._work.holding), set(self._work.unsent)
        given_back = unsent - holding
        if given_back:
            await self._ring(await self._pool.fetch(statements.GIVE_BACK, list(given_back), self._owner.id, moment))
        self._work.unsent.difference_update(unsent)
        await self._take_over(statements.TAKE_OVER_LOST, self._owner.id, list(holding), moment)

    async def _silent_lanes(self) -> list[Lane]:
        """Lanes with no hint waiting: rows that are queued there have lost theirs. Without Valkey workers sweep."""
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for lane in Lane:
                pipeline.exists(*ring.KEYS[lane])
            return [lane for lane, lists in zip(Lane, await pipeline.execute(), strict=True) if lists == 0]
        except (RedisError, OSError):
            return []

    async def _take_over(self, statement: str, *values: object) -> None:
        rows = await self._pool.fetch(statement, self._attempts, *values)
        if rows:
            log.warning("took over", messages=len(rows), dead=sum(row["state"] == State.DEAD for row in rows))
            await self._ring([row for row in rows if row["state"] == State.QUEUED])

    async def _ring(self, rows: list[asyncpg.Record]) -> None:
        if rows:
            await self._doorbell.ring(ring.by_key((row["id"], row["client_id"], row["lane"]) for row in rows))
