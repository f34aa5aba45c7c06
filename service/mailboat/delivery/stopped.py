"""Messages that stopped before they arrived: dead letters, failed ones, and held mail that a person decides about.

Whoever sends some of them again, or gives them up, stands in the audit with what was done to how many.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from mailboat.db import statements
from mailboat.db.states import State
from mailboat.delivery import query, ring

AT_ONCE = 1000  # messages per replay
REPLAYABLE = (State.DEAD, State.FAILED)
ADMIN = "admin"  # who stands in the audit unless it is somebody else

Rows = list[asyncpg.Record]
Act = Callable[[asyncpg.Connection, list[UUID]], Awaitable[Rows]]

_FROM = "from queue q join messages m on m.id = q.id join clients c on c.id = q.client_id"
_COLUMNS = """
q.id, q.state, q.lane, q.attempts, q.provider, q.error, q.updated_at, c.namespace, c.name as client, m.created_at,
m.template, m.envelope
"""
_AUDIT = "insert into audit (actor, action, subject, detail) values ($1, $2, $3, $4::jsonb)"
_NARROWING = ("client", "template", "provider", "error", "since", "until")


class Filter(msgspec.Struct, frozen=True):
    """Which stopped messages; None narrows nothing. `error` is a part of the last error's text; `ids` are no more than
    these."""

    states: tuple[State, ...] = (State.DEAD,)
    client: str | None = None
    template: str | None = None
    provider: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[UUID, ...] | None = None


async def page(pool: asyncpg.Pool, wanted: Filter, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items": […], "next": cursor or None, "total": n}`, the newest first. Raises Problem for a foreign cursor."""
    total = await pool.fetchval(f"select count(*) {_FROM} where {_where(wanted)[0]}", *_where(wanted)[1])
    condition, values = _where(wanted)
    if cursor is not None:
        values.append(query.id_of(cursor))
        condition += f" and q.id < ${len(values)}"
    rows = await pool.fetch(
        f"select {_COLUMNS} {_FROM} where {condition} order by q.id desc limit {limit + 1}", *values
    )
    items = [_shown(row) for row in rows[:limit]]
    return {
        "items": items,
        "next": query.cursor_of(rows[limit - 1]["id"]) if len(rows) > limit else None,
        "total": total,
    }


async def reasons(pool: asyncpg.Pool, wanted: Filter) -> list[dict[str, Any]]:
    """Why they stopped: each last error with its count, the commonest first."""
    condition, values = _where(wanted)
    rows = await pool.fetch(
        f"select coalesce(q.error, '') as error, count(*) as messages, max(q.updated_at) as latest {_FROM} "
        f"where {condition} group by 1 order by 2 desc limit 100",
        *values,
    )
    return [dict(row) for row in rows]


async def samples(
    pool: asyncpg.Pool, wanted: Filter, errors: Sequence[str], count: int
) -> dict[str, list[dict[str, Any]]]:
    """The newest few messages of each of these last errors."""
    condition, values = _where(wanted)
    rows = await pool.fetch(
        f"""
        with newest as (
            select q.id, row_number() over (partition by coalesce(q.error, '') order by q.id desc) as place {_FROM}
            where {condition} and coalesce(q.error, '') = any(${len(values) + 1}::text[])
        )
        select {_COLUMNS} {_FROM} where q.id = any(array(select id from newest where place <= {count}))
        order by q.id desc
        """,
        *values,
        list(errors),
    )
    found: dict[str, list[dict[str, Any]]] = {error: [] for error in errors}
    for row in rows:
        found[row["error"] or ""].append(_shown(row))
    return found


async def replay(pool: asyncpg.Pool, doorbell: ring.Doorbell, wanted: Filter, actor: str = ADMIN) -> dict[str, Any]:
    """Queue up to AT_ONCE of them again, the oldest first; held ones are thereby released.

    `{"done": n, "remaining": m, "until": moment}`: ask again until none remain, with that moment, so that what stops
    again meanwhile is left alone.
    """

    async def act(connection: asyncpg.Connection, ids: list[UUID]) -> list[asyncpg.Record]:
        return list(await connection.fetch(statements.REPLAY, ids, list(wanted.states)))

    action = "held.release" if wanted.states == (State.HELD,) else "dead_letters.replay"
    rows, found = await _some(pool, wanted, act, actor, action)
    await _ring(doorbell, rows)
    return found


async def give_up_all(pool: asyncpg.Pool, wanted: Filter, actor: str = ADMIN) -> dict[str, Any]:
    """Up to AT_ONCE held ones are not sent again: as `replay` has it."""

    async def act(connection: asyncpg.Connection, ids: list[UUID]) -> list[asyncpg.Record]:
        return list(await connection.fetch(statements.GIVE_UP, ids))

    _, found = await _some(pool, wanted, act, actor, "held.fail")
    return found


async def replay_one(pool: asyncpg.Pool, doorbell: ring.Doorbell, message_id: UUID, actor: str = ADMIN) -> bool:
    """Queue one dead or failed message again. True when it was."""
    return await _requeue(pool, doorbell, message_id, REPLAYABLE, actor, "message.replay")


async def release(pool: asyncpg.Pool, doorbell: ring.Doorbell, message_id: UUID, actor: str = ADMIN) -> bool:
    """Send held mail again, though it may have arrived. True when it was held."""
    return await _requeue(pool, doorbell, message_id, (State.HELD,), actor, "held.release")


async def give_up(pool: asyncpg.Pool, message_id: UUID, actor: str = ADMIN) -> bool:
    """Held mail is not sent again: it is failed. True when it was held."""
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetch(statements.GIVE_UP, [message_id]):
            return False
        await _note(connection, actor, "held.fail", str(message_id), {"messages": 1})
    return True


async def _requeue(
    pool: asyncpg.Pool, doorbell: ring.Doorbell, message_id: UUID, states: tuple[State, ...], actor: str, action: str
) -> bool:
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(statements.REPLAY, [message_id], list(states))
        if rows:
            await _note(connection, actor, action, str(message_id), {"messages": 1})
    await _ring(doorbell, rows)
    return bool(rows)


async def _some(pool: asyncpg.Pool, wanted: Filter, act: Act, actor: str, action: str) -> tuple[Rows, dict[str, Any]]:
    """Do it to the oldest of them, with an audit row that says to how many; the rows it was done to, and the answer."""
    until = wanted.until or await pool.fetchval("select now()")
    condition, values = _where(msgspec.structs.replace(wanted, until=until))
    async with pool.acquire() as connection, connection.transaction():
        ids = await connection.fetch(f"select q.id {_FROM} where {condition} order by q.id limit {AT_ONCE}", *values)
        rows = await act(connection, [row["id"] for row in ids])
        if rows:
            about = {name: str(value) for name in _NARROWING if (value := getattr(wanted, name)) is not None}
            word = wanted.states[0].word
            await _note(connection, actor, action, word, {**about, "messages": len(rows)})
    remaining = await pool.fetchval(f"select count(*) {_FROM} where {condition}", *values)
    return rows, {"done": len(rows), "remaining": remaining, "until": until}


async def _ring(doorbell: ring.Doorbell, rows: Rows) -> None:
    if rows:
        await doorbell.ring(ring.by_key((row["id"], row["client_id"], row["lane"]) for row in rows))


async def _note(connection: asyncpg.Connection, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    await connection.execute(_AUDIT, actor, action, subject, msgspec.json.encode(detail).decode())


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    # The states stand in the text, so that the partial index over stopped messages serves.
    conditions = [f"q.state in ({', '.join(str(int(state)) for state in wanted.states)})"]
    values: list[Any] = []
    for column, value in (
        ("c.namespace || '/' || c.name = {}", _full_name(wanted.client)),
        ("m.template = {}", wanted.template),
        ("q.provider = {}", wanted.provider),
        ("position(lower({}) in lower(q.error)) > 0", wanted.error),
        ("q.updated_at >= {}", wanted.since),
        ("q.updated_at < {}", wanted.until),
        ("q.id = any({}::uuid[])", wanted.ids),
    ):
        if value is not None:
            values.append(value)
            conditions.append(column.format(f"${len(values)}"))
    return " and ".join(conditions), values


def _full_name(client: str | None) -> str | None:
    return client if client is None or "/" in client else f"default/{client}"


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    envelope = query.envelope_of(row)
    return {
        "id": row["id"],
        "status": State(row["state"]).word,
        "client": f"{row['namespace']}/{row['client']}",
        "template": row["template"],
        "to": [address.email for _, address in envelope.recipients],
        "lane": ("high", "normal", "bulk")[row["lane"]],
        "attempt_count": row["attempts"],
        "provider": row["provider"],
        "error": row["error"],
        "created_at": row["created_at"],
        "stopped_at": row["updated_at"],
    }
