"""Tallies: what became of the messages of each quarter of an hour, kept for people who look at a month at once.

A quarter is counted an hour after it ended, and again whenever something of it has changed: an event came, mail that
waited was sent or cancelled, a dead letter was replayed. Once a day everything is counted again, for what was deleted
and for what no look at the changes can see. What has no tally yet is counted by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from mailboat.db.states import State
from mailboat.domain import identifier

QUARTER = timedelta(minutes=15)
SETTLED = timedelta(hours=1)  # after which a quarter is worth counting
KEPT = timedelta(days=31)
AT_ONCE = 96  # quarters that are counted by one statement
LATE = timedelta(minutes=10)  # so long after it came an event may be matched with its message
ACCEPTED = "accepted"  # all messages together: there for each quarter that was counted
EVENTS = ("delivered", "bounced", "complained", "rejected", "deferred")
WORDS = [state.word for state in State]
# Every change but an event's moves a message into one of these states or out of one. Each has a partial index.
UNSETTLED = (State.SCHEDULED, State.QUEUED, State.SENDING, State.FAILED, State.DEAD, State.HELD)

_COUNTED = f"select max(at) as latest, max(counted_at) as counted_at from tallies where word = '{ACCEPTED}'"
_FORGET = "delete from tallies where at = any($1::timestamptz[])"
_FORGET_OLD = "delete from tallies where at < $1"
_COUNT = f"""
insert into tallies (at, word, messages)
select at, word, messages from unnest($1::timestamptz[], $2::uuid[], $3::uuid[]) as t(at, low, high)
cross join lateral (
    select coalesce(($4::text[])[state + 1], '{ACCEPTED}') as word, count(*) as messages from queue
    where id >= low and id < high group by grouping sets ((state), ())
    union all
    select event, count(distinct message_id) from events
    where message_id >= low and message_id < high and event = any($5::text[]) and client_id is not null group by event
) found
"""
_REPORTED = """
select distinct width_bucket(message_id, $1::uuid[]) from events where received_at >= $2 and message_id >= $3
"""
_NOW = f"""
select width_bucket(id, $1::uuid[]), ($3::text[])[state + 1], count(*) from (
    {" union all ".join(f"select id, state from queue where state = {int(one)} and id >= $2" for one in UNSETTLED)}
) q group by 1, 2
"""
_THEN = "select at, word, messages from tallies where word = any($1::text[]) and at >= $2"
_READ = """
select width_bucket(at, $1::timestamptz[]) as slot, word, sum(messages)::bigint as count, max(at) as latest
from tallies where at >= ($1::timestamptz[])[1] group by 1, 2
"""


async def due(connection: asyncpg.Connection, now: datetime) -> list[datetime]:
    """The beginnings of the quarters that are to be counted, the oldest first: those that are new or have changed."""
    counted = await connection.fetchrow(_COUNTED)
    quarters = every(now)
    if counted["latest"] is None:
        return quarters
    new = {at for at in quarters if at > counted["latest"]}
    return sorted(new | await _changed(connection, quarters, counted["counted_at"] - LATE))


async def count(connection: asyncpg.Connection, quarters: Sequence[datetime]) -> int:
    """Count these, at most AT_ONCE; how many. In a transaction, by one at a time."""
    await connection.execute(_FORGET, quarters)
    lows, highs = ([identifier.floor(at + later) for at in quarters] for later in (timedelta(), QUARTER))
    await connection.execute(_COUNT, quarters, lows, highs, WORDS, list(EVENTS))
    return len(quarters)


async def forget(connection: asyncpg.Connection, now: datetime) -> bool:
    """Forget the tallies that nobody asks for any more."""
    await connection.execute(_FORGET_OLD, every(now)[0])
    return True


def every(now: datetime) -> list[datetime]:
    """The beginnings of all quarters that are worth counting."""
    seconds = QUARTER.total_seconds()
    first, last = ((now - ago).timestamp() // seconds for ago in (KEPT, SETTLED))
    return [datetime.fromtimestamp(n * seconds, UTC) for n in range(int(first), int(last))]


async def read(pool: asyncpg.Pool, starts: Sequence[datetime]) -> tuple[list[asyncpg.Record], datetime]:
    """`slot` (from 1), `word` and `count` for each of these intervals, which begin with a quarter and contain whole
    ones; and up to which moment that is all."""
    rows = await pool.fetch(_READ, list(starts))
    return rows, max((row["latest"] + QUARTER for row in rows), default=starts[0])


async def _changed(connection: asyncpg.Connection, quarters: list[datetime], since: datetime) -> set[datetime]:
    """Of these quarters, those with an event that came since then, and those whose unsettled mail is other mail now."""
    bounds = [identifier.floor(at) for at in [*quarters, quarters[-1] + QUARTER]]
    reported = {row[0] for row in await connection.fetch(_REPORTED, bounds, since, bounds[0])}
    now = {(slot, word): count for slot, word, count in await connection.fetch(_NOW, bounds, bounds[0], WORDS)}
    slots = {at: slot for slot, at in enumerate(quarters, 1)}
    then: dict[Any, int] = {
        (slots[at], word): count
        for at, word, count in await connection.fetch(_THEN, [one.word for one in UNSETTLED], quarters[0])
        if at in slots
    }
    moved = {slot for slot, word in now.keys() | then.keys() if now.get((slot, word)) != then.get((slot, word))}
    return {quarters[slot - 1] for slot in reported | moved if 1 <= slot <= len(quarters)}
