"""What became of a message: one with its timeline, or a page of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from mailboat.db.states import State
from mailboat.delivery import standing
from mailboat.delivery.standing import Standing
from mailboat.domain import identifier
from mailboat.domain.message import Content, Envelope
from mailboat.errors import Problem
from mailboat.telemetry import trace_id

MOST = 100  # messages per page
ROUNDS = 20  # looks for a page's messages, when a status has to be worked out for each

_COLUMNS = """
m.id, m.client_id, m.created_at, m.template, m.revision, m.locale, m.envelope, m.content, m.tags, m.metadata,
m.traceparent, q.state, q.lane, q.attempts, q.run_at, q.provider, q.provider_message_id, q.error, q.updated_at
"""
_ONE = f"""
select {_COLUMNS} from messages m join queue q on q.id = m.id
where m.id = $1 and m.client_id = coalesce($2, m.client_id)
"""
_ATTEMPTS = """
select number, provider, outcome, detail, recipients, started_at, seconds from attempts
where message_id = $1 order by number
"""
_ATTEMPTS_OF = """
select message_id, detail, recipients from attempts where message_id = any($1::uuid[]) order by message_id, number
"""
_EVENTS_OF = """
select message_id, event, recipient, bounce, reason, word, provider, at from events
where message_id = any($1::uuid[]) and client_id is not null order by message_id, at, id
"""
_LISTED = f"""
select {_COLUMNS}, c.namespace, c.name as client from messages m join queue q on q.id = m.id
join clients c on c.id = m.client_id where m.id = any($1::uuid[]) order by m.id desc
"""
_USAGE = """
select to_char(t.month, 'YYYY-MM') as month, coalesce(u.accepted, 0) as accepted, c.quota_monthly as quota,
       case when c.quota_monthly is not null
            then greatest(0, c.quota_monthly - coalesce(u.accepted, 0)) end as remaining,
       (t.month + interval '1 month') at time zone 'utc' as resets_at
from clients c cross join (select date_trunc('month', now() at time zone 'utc') as month) t
left join usage u on u.client_id = c.id and u.month = t.month::date
where c.id = $1
"""

_RECIPIENTS = "lower(concat(m.envelope -> 'to', m.envelope -> 'cc', m.envelope -> 'bcc'))"


class Filter(msgspec.Struct, frozen=True):
    """What a page of messages is narrowed to; None and {} narrow nothing."""

    status: str | None = None
    template: str | None = None
    recipient: str | None = None
    lane: str | None = None
    tags: dict[str, str] = {}
    since: datetime | None = None
    until: datetime | None = None


async def message(pool: asyncpg.Pool, client_id: int | None, message_id: UUID) -> dict[str, Any] | None:
    """One message of this client (None: of anybody) with its recipients and attempts, or None."""
    row = await pool.fetchrow(_ONE, message_id, client_id)
    if row is None:
        return None
    attempts = await pool.fetch(_ATTEMPTS, message_id)
    events = await pool.fetch(_EVENTS_OF, [message_id])
    found = standing.of(row, attempts, events)
    return _summary(row, found) | {
        "diagnosis": found.diagnosis,
        "recipients": found.recipients,
        "attempts": [_attempt(attempt) for attempt in attempts],
        "events": standing.shown(row, events),
        "trace_id": trace_id(row["traceparent"]),
    }


async def page(pool: asyncpg.Pool, client_id: int, wanted: Filter, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items": […], "next": cursor or None}`, newest first. Raises Problem 400 for a foreign cursor.

    A status is made of attempts and events, so candidates are looked at until the page is full; a page that would take
    too long is handed out short, with the cursor that goes on.
    """
    items: list[dict[str, Any]] = []
    following = None
    size = (MOST if wanted.status else limit) + 1
    for _ in range(ROUNDS):
        rows = await _candidates(pool, client_id, wanted, cursor, size)
        items += [
            _summary(row, found) | {"to": _recipients(row)}
            for row, found in await _standings(pool, rows)
            if wanted.status in (None, found.status)
        ]
        if len(items) > limit:
            following = cursor_of(items[limit - 1]["id"])
            break
        if len(rows) < size:
            break
        cursor = cursor_of(rows[-1]["id"])
    else:
        following = cursor
    return {"items": items[:limit], "next": following}


async def listed(pool: asyncpg.Pool, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """These messages, whoever sent them, newest first: as in a page, and with `client` (`namespace/name`)."""
    rows = await pool.fetch(_LISTED, ids)
    return [
        _summary(row, found) | {"to": _recipients(row), "client": f"{row['namespace']}/{row['client']}"}
        for row, found in await _standings(pool, rows)
    ]


async def _candidates(
    pool: asyncpg.Pool, client_id: int, wanted: Filter, cursor: str | None, count: int
) -> list[asyncpg.Record]:
    conditions, values = _conditions(client_id, wanted, cursor)
    rows: list[asyncpg.Record] = await pool.fetch(
        f"select {_COLUMNS} from messages m join queue q on q.id = m.id "
        f"where {' and '.join(conditions)} order by m.id desc limit {count}",
        *values,
    )
    return rows


async def _standings(pool: asyncpg.Pool, rows: list[asyncpg.Record]) -> list[tuple[asyncpg.Record, Standing]]:
    """Each message with what its attempts and events add up to."""
    ids = [row["id"] for row in rows]
    attempts = standing.by_message(await pool.fetch(_ATTEMPTS_OF, ids))
    events = standing.by_message(await pool.fetch(_EVENTS_OF, ids))
    return [(row, standing.of(row, attempts.get(row["id"], []), events.get(row["id"], []))) for row in rows]


async def cancel(pool: asyncpg.Pool, client_id: int, message_id: UUID) -> bool:
    """Stop a message that still waits for its time. True when it was stopped."""
    done = await pool.execute(
        "update queue set state = $3, updated_at = now() "
        "where id = $1 and client_id = $2 and state = $4 and attempts = 0",
        message_id,
        client_id,
        State.CANCELLED,
        State.SCHEDULED,
    )
    return bool(done == "UPDATE 1")


async def reschedule(pool: asyncpg.Pool, client_id: int, message_id: UUID, run_at: datetime) -> bool:
    """Give a message that still waits for its time another one. True when it was given."""
    done = await pool.execute(
        "update queue set run_at = $3, updated_at = now() "
        "where id = $1 and client_id = $2 and state = $4 and attempts = 0",
        message_id,
        client_id,
        run_at,
        State.SCHEDULED,
    )
    return bool(done == "UPDATE 1")


async def written(pool: asyncpg.Pool, client_id: int, message_id: UUID) -> tuple[Envelope, Content | None] | None:
    """What a client wrote itself: the envelope, and the content where no template makes it."""
    row = await pool.fetchrow(
        "select envelope, content from messages where id = $1 and client_id = $2", message_id, client_id
    )
    return (envelope_of(row), _content_of(row)) if row is not None else None


async def written_beside(
    pool: asyncpg.Pool, client_id: int, limit: int, *, after: UUID | None = None, before: UUID | None = None
) -> tuple[dict[UUID, tuple[Envelope, Content | None]], bool]:
    """What a client wrote in its newest messages, or those that come after this one (older), or before it (newer):
    by their ids, newest first, and whether there are more that way."""
    order = "asc" if before else "desc"
    beyond = "id > $3" if before else "id < $3" if after else "$3::uuid is null"
    rows = await pool.fetch(
        f"select id, envelope, content from messages where client_id = $1 and {beyond} order by id {order} limit $2",
        client_id,
        limit + 1,
        before or after,
    )
    shown = sorted(rows[:limit], key=lambda row: row["id"], reverse=True)
    return {row["id"]: (envelope_of(row), _content_of(row)) for row in shown}, len(rows) > limit


async def usage(pool: asyncpg.Pool, client_id: int) -> dict[str, Any]:
    """This month (UTC): `{"month": "2026-11", "accepted", "quota", "remaining", "resets_at"}`."""
    return dict(await pool.fetchrow(_USAGE, client_id))


def _conditions(client_id: int, wanted: Filter, cursor: str | None) -> tuple[list[str], list[Any]]:
    conditions, values = ["m.client_id = $1"], [client_id]

    def where(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    if cursor is not None:
        where("m.id < {}", id_of(cursor))
    if wanted.since is not None:
        where("m.id >= {}", identifier.floor(wanted.since))
    if wanted.until is not None:
        where("m.id < {}", identifier.floor(wanted.until))
    if wanted.status is not None:
        where(*standing.candidates(wanted.status))
    if wanted.template is not None:
        where("m.template = {}", wanted.template)
    if wanted.lane is not None:
        where("q.lane = {}", {"high": 0, "normal": 1, "bulk": 2}[wanted.lane])
    if wanted.recipient is not None:
        where(_RECIPIENTS + " like {}", f'%"email":"{_like(wanted.recipient.lower())}"%')
    if wanted.tags:
        where("m.tags @> {}::jsonb", msgspec.json.encode(wanted.tags).decode())
    return conditions, values


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def cursor_of(message_id: UUID) -> str:
    """The cursor of a page that ends with this message."""
    return base64.urlsafe_b64encode(message_id.bytes).rstrip(b"=").decode()


def id_of(cursor: str) -> UUID:
    """The message that a cursor stands for. Raises Problem 400."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except ValueError:
        raise Problem(400, "invalid_cursor", "The cursor is not one that a page gave.", field="cursor") from None


def envelope_of(row: asyncpg.Record) -> Envelope:
    """The envelope in a row of `messages`."""
    return msgspec.json.decode(row["envelope"], type=Envelope)


def _content_of(row: asyncpg.Record) -> Content | None:
    return msgspec.json.decode(row["content"], type=Content) if row["content"] else None


def _recipients(row: asyncpg.Record) -> list[str]:
    return [address.email for _, address in envelope_of(row).recipients]


def _summary(row: asyncpg.Record, found: Standing) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": found.status,
        "template": row["template"],
        "revision": row["revision"],
        "lane": ("high", "normal", "bulk")[row["lane"]],
        "from": str(envelope_of(row).sender),
        "created_at": row["created_at"],
        "send_at": row["run_at"] if row["state"] == State.SCHEDULED else None,
        "attempt_count": row["attempts"],
        "provider": row["provider"],
        "provider_message_id": row["provider_message_id"],
        "error": row["error"],
        "tags": msgspec.json.decode(row["tags"]) if row["tags"] else {},
        "metadata": msgspec.json.decode(row["metadata"]) if row["metadata"] else {},
    }


def _attempt(row: asyncpg.Record) -> dict[str, Any]:
    return {key: row[key] for key in ("number", "provider", "outcome", "detail", "started_at")} | {
        "seconds": round(row["seconds"], 3)
    }
