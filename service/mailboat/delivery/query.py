"""What became of a message: one with its timeline, or a page of them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from mailboat.db.states import State
from mailboat.domain import identifier
from mailboat.domain.message import Envelope
from mailboat.errors import Problem
from mailboat.telemetry import trace_id

MOST = 100  # messages per page

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
    return _summary(row) | {
        "recipients": _recipients(row, attempts),
        "attempts": [_attempt(attempt) for attempt in attempts],
        "events": [],
        "trace_id": trace_id(row["traceparent"]),
    }


async def page(pool: asyncpg.Pool, client_id: int, wanted: Filter, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items": […], "next": cursor or None}`, newest first. Raises Problem 400 for a foreign cursor."""
    conditions, values = _conditions(client_id, wanted, cursor)
    rows = await pool.fetch(
        f"select {_COLUMNS} from messages m join queue q on q.id = m.id "
        f"where {' and '.join(conditions)} order by m.id desc limit {limit + 1}",
        *values,
    )
    items = [_summary(row) | {"to": [a.email for _, a in envelope_of(row).recipients]} for row in rows[:limit]]
    return {"items": items, "next": cursor_of(rows[limit - 1]["id"]) if len(rows) > limit else None}


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
        where("q.state = {}", State[wanted.status.upper()])
    if wanted.template is not None:
        where("m.template = {}", wanted.template)
    if wanted.lane is not None:
        where("q.lane = {}", {"high": 0, "normal": 1, "bulk": 2}[wanted.lane])
    if wanted.recipient is not None:
        where("lower(m.envelope::text) like {}", f'%"email":"{_like(wanted.recipient.lower())}"%')
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


def _summary(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": row["id"],
        "status": State(row["state"]).word,
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


def _recipients(row: asyncpg.Record, attempts: list[asyncpg.Record]) -> list[dict[str, Any]]:
    """Each recipient with its own status: the last attempt that knew better than the message as a whole."""
    status = State(row["state"]).word
    last = attempts[-1]["detail"] if attempts else ""
    own: dict[str, dict[str, Any]] = {}
    for attempt in attempts:
        if attempt["recipients"]:
            own |= msgspec.json.decode(attempt["recipients"])
    answer = []
    for kind, address in envelope_of(row).recipients:
        fate = own.get(address.email, {})
        waits = fate.get("status") == "deferred"
        answer.append(
            {
                "address": address.email,
                "kind": kind,
                "status": status if not fate or waits else fate["status"],
                "detail": fate.get("detail", last),
            }
        )
    return answer


def _attempt(row: asyncpg.Record) -> dict[str, Any]:
    return {key: row[key] for key in ("number", "provider", "outcome", "detail", "started_at")} | {
        "seconds": round(row["seconds"], 3)
    }
