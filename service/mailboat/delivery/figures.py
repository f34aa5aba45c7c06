"""Figures for people: what became of the mail, interval by interval, and what waits. A few seconds old will do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from mailboat.db import engine
from mailboat.db.states import Lane
from mailboat.delivery import tallies
from mailboat.domain import identifier

log = logging.getLogger(__name__)

SECONDS = {"1h": 60, "24h": 900, "7d": 7200, "30d": 28800}  # an interval of each range
SLOTS = {"1h": 60, "24h": 96, "7d": 84, "30d": 90}
NEWEST = 2000  # attempts that latencies and providers are taken from
FRESH_SECONDS = 4.0
REST = 30  # figures that took a second to gather are kept for so many
DEAR_SECONDS = 0.15  # what takes longer is gathered while the figures before are shown
LONGEST_SECONDS = 600.0  # and those may be so old

LOST = 10_000  # events that the reasons are taken from

# Both are by the moment at which the message was accepted: its id says it. For what has no tally yet.
_STATES = """
select width_bucket(id, $1::uuid[]) as slot, ($3::text[])[state + 1] as word, count(*) from queue
where id >= $2 group by 1, 2
"""
_REPORTED = """
select width_bucket(message_id, $1::uuid[]) as slot, event as word, count(distinct message_id) from events
where message_id >= $2 and event = any($3::text[]) and client_id is not null group by 1, 2
"""
_LANES = """
select lane, count(*), extract(epoch from now() - min(run_at))::float8 as age from queue where state = 1 group by lane
"""
_UNDERWAY = """
select (select count(*) from queue where state = 0) as scheduled,
    (select count(*) from queue where state = 2) as sending
"""
_RECENT = f"""
with newest as (select provider, outcome, seconds from attempts order by message_id desc limit {NEWEST})
select provider, count(*) filter (where outcome = 'sent') as sent, count(*) as attempts,
    percentile_cont(0.95) within group (order by seconds) as p95
from newest where provider is not null group by 1 order by 3 desc
"""
_LATENCY = f"""
with newest as (select * from attempts order by message_id desc limit {NEWEST})
select percentile_cont(array[0.5, 0.95, 0.99]) within group
    (order by extract(epoch from a.started_at - m.created_at)::float8 + a.seconds)
from newest a join messages m on m.id = a.message_id where a.outcome = 'sent' and a.number = 1
"""
_WHY = f"""
with newest as (
    select reason from events where received_at >= $1 and event in ('bounced', 'rejected', 'complained')
    order by received_at desc limit {LOST}
)
select reason, count(*) from newest group by 1 order by 2 desc limit 6
"""


class Series(msgspec.Struct, frozen=True):
    """One figure per interval, of messages accepted in it."""

    accepted: list[int]
    delivered: list[int]
    sent: list[int]
    waiting: list[int]
    bounced: list[int]
    complained: list[int]
    deferred: list[int]
    failed: list[int]


class Waiting(msgspec.Struct, frozen=True):
    """What a lane holds that could go now, and for how long the oldest of it has."""

    lane: str
    count: int
    age: float


class Figures(msgspec.Struct, frozen=True):
    """`starts` are the beginnings of the intervals. `latency`: median, p95 and p99 in seconds; None before any mail."""

    starts: list[datetime]
    series: Series
    lanes: list[Waiting]
    sending: int
    scheduled: int
    latency: list[float] | None
    providers: list[dict[str, Any]]
    why: list[tuple[str, int]]
    taken_at: datetime


class Kept(msgspec.Struct, frozen=True):
    """Figures, how long they took to gather, and when (monotonic) they were."""

    figures: Figures
    took: float
    at: float

    def is_fresh(self, now: float) -> bool:
        return now < self.at + max(FRESH_SECONDS, self.took * REST)

    def will_do(self, now: float) -> bool:
        """Whether nobody should wait for newer ones."""
        return self.took > DEAR_SECONDS and now < self.at + LONGEST_SECONDS


class Gauge:
    """Gathers figures at most as often as they are cheap: everybody who looks gets the same. Where they are dear,
    nobody waits for them but the first: the other ranges are gathered meanwhile, and those that aged while they are
    shown."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._kept: dict[str, Kept] = {}
        self._lock = asyncio.Lock()
        self._underway: dict[str, asyncio.Task[None]] = {}

    async def read(self, span: str) -> Figures:
        """Figures of `1h`, `24h`, `7d` or `30d`. Raises what `engine.AWAY` names."""
        kept = self._kept.get(span)
        if kept is None or not (kept.is_fresh(time.monotonic()) or kept.will_do(time.monotonic())):
            kept = await self._gathered(span)
        for other in SECONDS if kept.took > DEAR_SECONDS else ():
            self._renew(other)
        return kept.figures

    async def _gathered(self, span: str) -> Kept:
        async with self._lock:
            kept = self._kept.get(span)
            if kept is None or not kept.is_fresh(time.monotonic()):
                began = time.monotonic()
                figures = await gather(self._pool, span, datetime.now(UTC))
                now = time.monotonic()
                kept = self._kept[span] = Kept(figures, now - began, now)
            return kept

    def _renew(self, span: str) -> None:
        kept = self._kept.get(span)
        if span in self._underway or (kept is not None and kept.is_fresh(time.monotonic())):
            return
        task = asyncio.create_task(self._behind(span), name=f"figures-{span}")
        self._underway[span] = task
        task.add_done_callback(lambda _: self._underway.pop(span))

    async def _behind(self, span: str) -> None:
        try:
            await self._gathered(span)
        except engine.AWAY as error:
            log.info("The figures of the last %s have to wait for Postgres: %s", span, error)


async def gather(pool: asyncpg.Pool, span: str, now: datetime) -> Figures:
    """The figures as they are at this moment."""
    starts = intervals(span, now)
    counts = await _counts(pool, span, starts)
    latency = await pool.fetchval(_LATENCY)
    underway = await pool.fetchrow(_UNDERWAY)
    return Figures(
        starts,
        _series(len(starts), counts),
        _lanes(await pool.fetch(_LANES)),
        underway["sending"],
        underway["scheduled"],
        list(latency) if latency else None,
        [dict(row) for row in await pool.fetch(_RECENT)],
        [(row["reason"], row["count"]) for row in await pool.fetch(_WHY, starts[0])],
        now,
    )


async def _counts(pool: asyncpg.Pool, span: str, starts: list[datetime]) -> Counter[tuple[int, str]]:
    """How many messages of each interval (from 0) are in each state, and have each event: of quarters of an hour that
    were counted already their tallies, and all else from the messages themselves."""
    tallied, until = ([], starts[0]) if span == "1h" else await tallies.read(pool, starts)
    bounds, since = [identifier.floor(start) for start in starts], identifier.floor(until)
    states, reported = await asyncio.gather(
        pool.fetch(_STATES, bounds, since, tallies.WORDS), pool.fetch(_REPORTED, bounds, since, list(tallies.EVENTS))
    )
    counts: Counter[tuple[int, str]] = Counter()
    for row in (*tallied, *states, *reported):
        counts[row["slot"] - 1, row["word"]] += row["count"]
    return counts


def intervals(span: str, now: datetime) -> list[datetime]:
    """The beginnings of a range's intervals, on round moments; the last one is not over yet."""
    seconds = SECONDS[span]
    last = int(now.timestamp()) // seconds * seconds
    return [datetime.fromtimestamp(last, UTC) - timedelta(seconds=seconds * n) for n in range(SLOTS[span])][::-1]


def _series(count: int, counts: Counter[tuple[int, str]]) -> Series:
    """What was accepted, parted by what became of it; each message is in one part, as far as counts can tell."""

    def of(*words: str) -> list[int]:
        return [sum(counts[slot, word] for word in words) for slot in range(count)]

    bounced, complained = of("bounced", "rejected"), of("complained")
    sent, said = of("sent"), of("delivered")
    delivered = [max(min(a, b) - c, 0) for a, b, c in zip(said, sent, complained, strict=True)]
    return Series(
        accepted=of(*tallies.WORDS),
        delivered=delivered,
        sent=[max(a - b - c - d, 0) for a, b, c, d in zip(sent, delivered, bounced, complained, strict=True)],
        waiting=of("scheduled", "queued", "sending"),
        bounced=bounced,
        complained=complained,
        deferred=of("deferred"),
        failed=of("failed", "dead"),
    )


def _lanes(rows: Sequence[asyncpg.Record]) -> list[Waiting]:
    found = {row["lane"]: row for row in rows}
    return [
        Waiting(lane.word, found[lane]["count"], max(found[lane]["age"], 0.0)) if lane in found
        else Waiting(lane.word, 0, 0.0)
        for lane in Lane
    ]  # fmt: skip
