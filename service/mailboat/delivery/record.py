"""Record: what providers report becomes rows, in two steps.

`Receipts.keep` stores a verified delivery as it came, before anybody is told that it arrived. `work`, in the worker,
later reads it into `events`, finds the message that each is about, and suppresses the addresses that must not be mailed
again. Both steps can be repeated without harm, and any number of processes can do them at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat import metrics
from mailboat.db import engine, statements
from mailboat.delivery import outbound, suppressions
from mailboat.delivery.batcher import Batcher
from mailboat.domain.events import Event
from mailboat.telemetry import Traces
from mailboat.webhooks import registry
from mailboat.webhooks.base import Forged, Malformed

log = structlog.get_logger()
FLUSHERS, LIMIT = 2, 128  # deliveries per statement
READ_AT_ONCE, MATCHED_AT_ONCE = 50, 500
IDLE_SECONDS = 0.25
FORGET_SECONDS = 3600.0
RECEIPTS_DAYS = 7  # longer than any signature stays fresh, since a receipt is what makes a repeat known

_KEEP = """
with given as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])
        as t(provider, kind, key, digest, body)
)
insert into webhook_receipts (provider, kind, key, digest, body)
select provider, kind, key, digest, body from given order by kind, key
on conflict (kind, key) do nothing
"""
_KEPT = """
select r.kind, r.key, r.digest from webhook_receipts r
join unnest($1::text[], $2::text[]) as t(kind, key) on r.kind = t.kind and r.key = t.key
"""

_WAITING = """
select id, provider, kind, key, body, received_at from webhook_receipts where parsed_at is null
order by id limit $1 for update skip locked
"""
_READ = """
update webhook_receipts r set parsed_at = now(), fault = t.fault
from unnest($1::bigint[], $2::text[]) as t(id, fault) where r.id = t.id
"""

# Columns of one event, in the order of `Row`.
_COLUMNS = {
    "provider": "text",
    "event_id": "text",
    "recipient": "text",
    "event": "text",
    "bounce": "text",
    "word": "text",
    "reason": "text",
    "raw": "json",
    "message_id": "uuid",
    "provider_message_id": "text",
    "at": "timestamptz",
    "received_at": "timestamptz",
}
_ITEMS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_COLUMNS.values(), 1))
_STORE = f"""
insert into events ({", ".join(_COLUMNS)})
select * from unnest({_ITEMS}) as t({", ".join(_COLUMNS)}) order by provider, event_id, recipient
on conflict do nothing
"""

# Our own mark first, else the provider's id. What is not found may be booked a moment later, so it is looked for again,
# ever more seldom: after half its age. A provider of a namespace (`shop/postmark`) speaks for that namespace's clients
# only, whatever mark it brings. Hard bounces and complaints of what is found are returned; with $2 all that is found.
_MATCH = f"""
with due as materialized (
    select id, message_id, provider_message_id, split_part(provider, '/', -1) as name,
        case when position('/' in provider) > 0 then split_part(provider, '/', 1) end as namespace
    from events where look_at <= now()
    order by look_at limit $1 for update skip locked
), marked as materialized (
    select due.id, q.id as message_id, q.client_id
    from due join queue q on q.id = due.message_id left join clients c on c.id = q.client_id
    where due.namespace is null or due.namespace = c.namespace
), named as materialized (
    select distinct on (due.id) due.id, q.id as message_id, q.client_id
    from due join queue q on q.provider_message_id = due.provider_message_id and q.provider = due.name
    left join clients c on c.id = q.client_id
    where due.provider_message_id <> '' and q.provider_message_id is not null and q.provider <> 'inbox'
        and (due.namespace is null or due.namespace = c.namespace) and due.id not in (select id from marked)
), found as (
    select * from marked union all select * from named
), matched as (
    update events e set message_id = f.message_id, client_id = f.client_id, look_at = null
    from found f where e.id = f.id
    returning e.client_id, e.recipient, e.event, e.bounce, e.provider, e.reason, f.message_id, e.at,
        e.recipient <> '' and (e.event = 'complained' or (e.event = 'bounced' and e.bounce = 'hard')) is true as bars
), facts as (
    select message_id as id, client_id, event, at, recipient, provider, bounce, reason as detail, null as recipients
    from matched where event in {outbound.EVENTS}
), told as ({statements.tell("facts")}), later as (
    update events e set look_at = case when e.received_at > now() - interval '3 days'
        then now() + greatest(interval '1 second', (now() - e.received_at) / 2) end
    from due where e.id = due.id and e.id not in (select id from found)
)
select (select count(*) from due) as looked, m.* from (select 1) as one left join matched m on m.bars or $2
"""
_TRACEPARENTS = "select id, traceparent from messages where id = any($1::uuid[])"
_FORGET_RECEIPTS = """
delete from webhook_receipts where parsed_at is not null and received_at < now() - $1 * interval '1 day'
"""
_FORGET_EVENTS = "delete from events where received_at < now() - $1 * interval '1 day'"


class Receipt(NamedTuple):
    """A verified delivery: see `webhook_receipts`."""

    provider: str
    kind: str
    key: str
    digest: bytes
    body: bytes


class Row(NamedTuple):
    """One row of `events`, in the order of its columns."""

    provider: str
    event_id: str
    recipient: str
    event: str
    bounce: str | None
    word: str
    reason: str
    raw: str | None
    message_id: UUID | None
    provider_message_id: str
    at: datetime
    received_at: datetime


class Receipts:
    """Stores deliveries; those that come together share a statement."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._batcher: Batcher[Receipt, bool] = Batcher([self._flush] * FLUSHERS, limit=LIMIT)

    async def keep(self, receipt: Receipt) -> None:
        """Returns when it is durable; a repeat changes nothing. Raises Forged when the same key came with another body,
        and what `engine.AWAY` names."""
        if not await self._batcher.submit(receipt):
            raise Forged("its key was used with another body")

    async def close(self) -> None:
        await self._batcher.close()

    async def _flush(self, batch: list[Receipt]) -> list[bool]:
        """Whether each is in, as it is."""
        done = await self._pool.execute(_KEEP, *map(list, zip(*batch, strict=True)), timeout=10)
        if done == f"INSERT 0 {len(batch)}":
            return [True] * len(batch)
        kinds, keys = [one.kind for one in batch], [one.key for one in batch]
        kept = {(row["kind"], row["key"]): row["digest"] for row in await self._pool.fetch(_KEPT, kinds, keys)}
        return [kept.get((one.kind, one.key)) == one.digest for one in batch]


async def work(pool: asyncpg.Pool, *, retention_days: int, traces: Traces | None = None) -> None:
    """Read and match what has arrived, for ever; beside it, forget what is too old."""
    forget_at = time.monotonic()
    while True:
        busy = 0
        try:
            busy = await read(pool) + await match(pool, traces)
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_SECONDS
                await forget(pool, retention_days)
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            log.warning("recording failed", error=str(error) or type(error).__name__)
        if not busy:
            await engine.pause(IDLE_SECONDS * (0.75 + random.random() / 2))


async def read(pool: asyncpg.Pool) -> int:
    """Turn some deliveries into events; how many deliveries. Raises what asyncpg raises."""
    async with pool.acquire() as connection, connection.transaction():
        receipts = await connection.fetch(_WAITING, READ_AT_ONCE)
        if not receipts:
            return 0
        faults: dict[int, str | None] = {}
        rows: dict[int, list[Row]] = {}
        for receipt in receipts:
            found, faults[receipt["id"]] = _events(receipt)
            rows[receipt["id"]] = list(rows_of(receipt["provider"], receipt["key"], receipt["received_at"], found))
        faults |= await _store(connection, rows)
        await connection.execute(_READ, list(faults), list(faults.values()))
    _report([row for some in rows.values() for row in some])
    return len(receipts)


async def match(pool: asyncpg.Pool, traces: Traces | None = None) -> int:
    """Find the messages of some events and suppress what they say; how many events. Raises what asyncpg raises."""
    exporting = traces is not None and traces.exporting
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(_MATCH, MATCHED_AT_ONCE, exporting)
        barred = [row for row in rows if row["bars"]]
        if barred:
            await suppressions.bar(
                connection,
                [
                    suppressions.Entry(
                        client_id=row["client_id"],
                        address=row["recipient"],
                        reason="complaint" if row["event"] == "complained" else "bounce",
                        source=row["provider"],
                        detail=row["reason"],
                    )
                    for row in barred
                ],
            )
    if traces is not None and exporting:
        await _trace(pool, traces, [row for row in rows if row["message_id"]])
    return int(rows[0]["looked"])


async def _trace(pool: asyncpg.Pool, traces: Traces, facts: list[asyncpg.Record]) -> None:
    """A span for each fact in the trace of its message, however long ago that began."""
    stored = await pool.fetch(_TRACEPARENTS, list({fact["message_id"] for fact in facts})) if facts else []
    parents = {row["id"]: row["traceparent"] for row in stored}
    for fact in facts:
        about = {"message_id": str(fact["message_id"]), "provider": fact["provider"], "at": fact["at"].isoformat()}
        with traces.span(f"event {fact['event']}", parents.get(fact["message_id"]), "consumer", **about):
            pass


async def forget(pool: asyncpg.Pool, retention_days: int) -> None:
    """Receipts whose repeats are refused anyway, and events as old as the messages that go."""
    await pool.execute(_FORGET_RECEIPTS, RECEIPTS_DAYS)
    await pool.execute(_FORGET_EVENTS, retention_days)


def rows_of(provider: str, key: str, received_at: datetime, found: list[Event]) -> Iterator[Row]:
    """Events as rows. One without an id of its own is known by its place in its delivery."""
    for place, event in enumerate(found):
        yield Row(
            provider=provider,
            event_id=event.event_id or f"{key}#{place}",
            recipient=suppressions.key_of(event.recipient),
            event=event.event,
            bounce=event.bounce,
            word=event.word,
            reason=event.reason,
            raw=msgspec.json.encode(event.raw).decode() if event.raw is not None else None,
            message_id=event.message_id,
            provider_message_id=event.provider_message_id,
            at=event.at or received_at,
            received_at=received_at,
        )


async def _store(connection: asyncpg.Connection, rows: dict[int, list[Row]]) -> dict[int, str | None]:
    """Store the rows of each receipt; those that the database refuses are left out, so that they hold up no others."""
    everything = [row for some in rows.values() for row in some]
    if not everything:
        return {}
    try:
        async with connection.transaction():
            await connection.execute(_STORE, *map(list, zip(*everything, strict=True)))
    except engine.AWAY:
        raise
    except asyncpg.PostgresError as error:
        if len(rows) == 1:
            log.error("events cannot be stored", receipt=next(iter(rows)), error=str(error))
            return dict.fromkeys(rows, str(error))
        faults: dict[int, str | None] = {}
        for number, some in rows.items():
            faults |= await _store(connection, {number: some})
        return faults
    return {}


def _events(receipt: asyncpg.Record) -> tuple[list[Event], str | None]:
    """The events of a delivery, or why there are none. It is kept either way."""
    try:
        return registry.of(receipt["kind"]).parse(receipt["body"]), None
    except (Malformed, KeyError) as error:
        log.error("webhook cannot be read", provider=receipt["provider"], receipt=receipt["id"], error=str(error))
        return [], str(error)


def _report(rows: list[Row]) -> None:
    """One line per event; a word without a meaning is a warning."""
    for row in rows:
        metrics.EVENTS.inc(row.provider, row.event)
        speak = log.warning if row.event == "unknown" else log.info
        speak(
            "event",
            event_kind=row.event,
            word=row.word,
            provider=row.provider,
            message_id=str(row.message_id) if row.message_id else None,
            seconds=round((datetime.now(UTC) - row.at).total_seconds(), 1),
        )
