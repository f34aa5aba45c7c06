"""Housekeeping: scheduled taskiq tasks over taskiq-redis. Losing or repeating one of them harms nothing.

Every worker runs the schedule; an advisory lock lets one task at a time through, and each can be run twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import TaskiqScheduler
from taskiq.api import run_scheduler_task
from taskiq.receiver import Receiver
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import ListQueueBroker

from mailboat.db import engine, partitions, statements
from mailboat.delivery import tallies
from mailboat.settings import Settings

log = structlog.get_logger()
Done = TypeVar("Done")
QUEUE = "mailboat:housekeeping"
LOCK = 0x6D61696C626F6175
SCHEDULE = {
    "make_partitions": "7 * * * *",
    "retain": "23 3 * * *",
    "forget": "*/10 * * * *",
    "tally": "* * * * *",
    "tally_all": "53 3 * * *",
}
WAIT_SECONDS = 2.0  # for a task, in one call: shorter than the timeout of the socket
PAUSE_SECONDS = 5.0  # between looks while Valkey is away


class Queue(ListQueueBroker):
    """taskiq-redis, with patience: its own `listen` spins while Valkey is away, and waits for ever on a silent line."""

    async def listen(self) -> AsyncGenerator[bytes, None]:
        away = False
        while True:
            try:
                async with Redis(connection_pool=self.connection_pool) as redis:
                    found: Any = await redis.brpop([self.queue_name], timeout=WAIT_SECONDS)
                away = False
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("housekeeping waits for valkey", error=str(error) or type(error).__name__)
                away = True
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if found:
                yield found[1]


class Housekeeping:
    """Partitions ahead, retention, rows that nobody needs any more, and tallies for those who look."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool) -> None:
        self._settings, self._pool = settings, pool
        self._broker = Queue(settings.redis_url, queue_name=QUEUE)
        for work, cron in SCHEDULE.items():
            self._register(work, cron)

    def _register(self, work: str, cron: str) -> None:
        act = getattr(self, work)

        @self._broker.task(task_name=work, schedule=[{"cron": cron}])
        async def task() -> None:
            await act()

    async def run(self) -> None:
        """Schedule and work, for ever."""
        scheduler = TaskiqScheduler(self._broker, [LabelScheduleSource(self._broker)])
        receiver = Receiver(self._broker, max_async_tasks=1, validate_params=False)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_scheduler_task(scheduler))
            group.create_task(receiver.listen(asyncio.Event()))

    async def make_partitions(self) -> list[str]:
        """The partitions of the coming months. Returns the new ones."""

        async def act(connection: asyncpg.Connection) -> list[str]:
            return await partitions.ensure(connection, datetime.now(UTC).date())

        return await self._alone(act) or []

    async def retain(self) -> list[str]:
        """Drop whole months older than the retention. Returns the partitions dropped."""

        limit = datetime.now(UTC).date() - timedelta(days=self._settings.retention_days)

        async def forget(connection: asyncpg.Connection) -> int:
            return await partitions.forget_before(connection, limit)

        async def act(connection: asyncpg.Connection) -> list[str]:
            dropped = await partitions.drop_before(connection, limit)
            if dropped:
                log.info("retention", dropped=dropped)
            return dropped

        while await self._alone(forget):
            pass
        return await self._alone(act) or []

    async def forget(self) -> None:
        """Idempotency keys past their time, attachments that no message needs, workers long gone."""

        async def act(connection: asyncpg.Connection) -> None:
            await connection.execute(statements.FORGET_KEYS, self._settings.idempotency_days)
            await connection.execute(statements.FORGET_ATTACHMENTS, self._settings.retention_days)
            await connection.execute(statements.FORGET_WORKERS, 100 * self._settings.lease_seconds)

        await self._alone(act)

    async def tally(self) -> int:
        """Count what became of the last month's mail, where it has changed. Returns how many quarters of an hour."""

        async def act(connection: asyncpg.Connection) -> list[datetime]:
            return await tallies.due(connection, datetime.now(UTC))

        return await self._count(await self._alone(act) or [])

    async def tally_all(self) -> int:
        """The same for all of it."""
        now = datetime.now(UTC)
        await self._alone(lambda connection: tallies.forget(connection, now))
        return await self._count(tallies.every(now))

    async def _count(self, quarters: list[datetime]) -> int:
        """One day after the other, and no further than the first that could not be: what is tallied has no gaps."""
        done = 0
        for first in range(0, len(quarters), tallies.AT_ONCE):
            act = partial(tallies.count, quarters=quarters[first : first + tallies.AT_ONCE])
            counted = await self._alone(act)
            if counted is None:
                break
            done += counted
        return done

    async def close(self) -> None:
        await self._broker.shutdown()

    async def _alone(self, act: Callable[[asyncpg.Connection], Awaitable[Done]]) -> Done | None:
        """What `act` gives; None, and nothing done, when somebody else is at it or Postgres is away."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if await connection.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
                    return await act(connection)
        except engine.AWAY as error:
            log.warning("housekeeping skipped", error=str(error) or type(error).__name__)
        return None
