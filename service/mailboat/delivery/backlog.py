"""Backlog: what stands in Postgres, for the gauges about it. Each look is a few index scans that end at COUNT_TO."""

from __future__ import annotations

import time

import asyncpg
import structlog

from mailboat import metrics
from mailboat.db import engine
from mailboat.db.states import Lane, State

log = structlog.get_logger()
FRESH_SECONDS = 2.0
PATIENCE_SECONDS = 2.0
COUNT_TO = 100_000
NAMED_TEMPLATES = 100


def _counted(condition: str) -> str:
    return f"(select count(*) from (select from queue where {condition} limit {COUNT_TO}) as q)"


_LANES = f"""
select lane,
    (select count(*) from (select from queue where state = {State.QUEUED} and lane = l.lane limit {COUNT_TO}) as q)
        as messages,
    coalesce(extract(epoch from now() - (select min(run_at) from queue where state = {State.QUEUED} and lane = l.lane)),
        0)::float8 as age
from unnest($1::smallint[]) as l(lane)
"""
_STATES = f"""
select {_counted(f"state = {State.SENDING}")} as sending, {_counted(f"state = {State.SCHEDULED}")} as scheduled,
    {_counted(f"state = {State.DEAD} and state in (4, 5, 7)")} as dead,
    {_counted(f"state = {State.HELD} and state in (4, 5, 7)")} as held
"""
_WORKERS = """
select count(*) filter (where heartbeat_at > now() - $1 * interval '1 second') as live,
    extract(epoch from now() - max(heartbeat_at))::float8 as age
from workers
"""
_TEMPLATES = """
select namespace, name, digest, count(*) over () as heads from template_heads
order by updated_at desc limit $1
"""


class Backlog:
    """Refreshes the gauges, every FRESH_SECONDS at most however many ask. `lease` is when a worker counts as gone."""

    def __init__(self, pool: asyncpg.Pool, lease: float) -> None:
        self._pool, self._lease = pool, lease
        self._looked_at: float | None = None

    async def refresh(self) -> None:
        """Look. While Postgres is away the gauges have no samples, and `mailboat_backlog_up` is 0."""
        now = time.monotonic()
        if self._looked_at is not None and now - self._looked_at < FRESH_SECONDS:
            return
        self._looked_at = now
        try:
            await self._look()
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            log.warning("backlog unknown", error=str(error) or type(error).__name__)
            self._forget()

    async def _look(self) -> None:
        async with self._pool.acquire(timeout=PATIENCE_SECONDS) as connection:
            lanes = await connection.fetch(_LANES, list(Lane), timeout=PATIENCE_SECONDS)
            states = await connection.fetchrow(_STATES, timeout=PATIENCE_SECONDS)
            workers = await connection.fetchrow(_WORKERS, self._lease, timeout=PATIENCE_SECONDS)
            heads = await connection.fetch(_TEMPLATES, NAMED_TEMPLATES, timeout=PATIENCE_SECONDS)
        metrics.QUEUE.replace({(Lane(row["lane"]).word,): row["messages"] for row in lanes})
        metrics.QUEUE_AGE.replace({(Lane(row["lane"]).word,): max(0.0, row["age"]) for row in lanes})
        metrics.SENDING.set(states["sending"])
        metrics.SCHEDULED.set(states["scheduled"])
        metrics.STOPPED.replace({("dead",): states["dead"], ("held",): states["held"]})
        metrics.WORKERS.set(workers["live"])
        metrics.WORKER_AGE.replace({(): workers["age"]} if workers["age"] is not None else {})
        metrics.LIVE_TEMPLATES.set(heads[0]["heads"] if heads else 0)
        metrics.LIVE_TEMPLATE.replace({(row["namespace"], row["name"], row["digest"][:12]): 1 for row in heads})
        metrics.LOOKED_AT.set(1)

    def _forget(self) -> None:
        for gauge in _GAUGES:
            gauge.replace({})
        metrics.LOOKED_AT.set(0)


_GAUGES = (
    metrics.QUEUE,
    metrics.QUEUE_AGE,
    metrics.SENDING,
    metrics.SCHEDULED,
    metrics.STOPPED,
    metrics.WORKERS,
    metrics.WORKER_AGE,
    metrics.LIVE_TEMPLATES,
    metrics.LIVE_TEMPLATE,
)
