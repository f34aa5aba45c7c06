"""Search across clients, over millions of messages, in bounded time.

What an index leads to is found at once: an id, a provider's id, a client, a moment, a state that few messages are in.
Everything else is looked for among the next WINDOW messages, newest first, and the page says how far back it looked.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from mailboat.db.states import State
from mailboat.delivery import query, standing
from mailboat.domain import identifier

WINDOW = 20_000  # messages that one search looks at
PASSES = (State.SCHEDULED, State.QUEUED, State.SENDING, State.DEAD, State.HELD)  # states with a partial index

_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_ESCAPED = re.compile(r"[\x00-\x1f\"\\]")  # what JSON writes in another way
_TRACE = re.compile(r"[0-9a-f]{32}")
_BY_PROVIDER = "select id from queue where provider_message_id = $1 and provider <> 'inbox' order by id desc limit 100"
_STATE = "(select q.state from queue q where q.id = w.id)"
_RECIPIENTS = "lower(concat(w.envelope -> 'to', w.envelope -> 'cc', w.envelope -> 'bcc'))"


class Wanted(msgspec.Struct, frozen=True):
    """None and "" narrow nothing. `words`: an id, be it a provider's or a trace's, or a part of a recipient."""

    words: str = ""
    status: str | None = None
    client_id: int | None = None
    template: str | None = None
    since: datetime | None = None


class Found(msgspec.Struct, frozen=True):
    """`next`: the cursor of the following page. `looked_to`: the search stopped here, and `next` goes on from there."""

    items: list[dict[str, Any]]
    next: str | None = None
    looked_to: datetime | None = None


class _Statement:
    """Conditions with their values: `near` are those that an index leads to."""

    def __init__(self) -> None:
        self.near: list[str] = []
        self.far: list[str] = []
        self.values: list[Any] = []

    def where(self, conditions: list[str], text: str, value: Any) -> None:
        self.values.append(value)
        conditions.append(text.format(f"${len(self.values)}"))


async def find(pool: asyncpg.Pool, wanted: Wanted, *, limit: int, cursor: str | None = None) -> Found:
    """Messages, newest first. Raises Problem 400 for a foreign cursor."""
    words = wanted.words.strip().replace("\0", "")
    if (exact := await _exact(pool, words)) and (items := await query.listed(pool, exact)):
        return Found(items)
    statement = _statement(wanted, words, query.id_of(cursor) if cursor else None)
    count = limit + 1
    ids = [row["id"] for row in await pool.fetch(_page(statement, wanted, count), *statement.values)]
    items = await query.listed(pool, ids[:limit])
    if wanted.status is not None:
        # A later event may have changed what a message is; it is left out here and found under its own status.
        items = [item for item in items if item["status"] == wanted.status]
    if len(ids) > limit:
        return Found(items, query.cursor_of(ids[limit - 1]))
    last = await _last(pool, statement, wanted) if statement.far else None
    return Found(items, query.cursor_of(last), identifier.moment(last)) if last else Found(items)


async def _exact(pool: asyncpg.Pool, words: str) -> list[UUID]:
    if _ID.fullmatch(words):
        return [UUID(words)]
    return [row["id"] for row in await pool.fetch(_BY_PROVIDER, words)] if len(words) > 5 else []


def _statement(wanted: Wanted, words: str, before: UUID | None) -> _Statement:
    """The values of near conditions come first: `_last` needs those alone."""
    statement = _Statement()
    if before is not None:
        statement.where(statement.near, "id < {}", before)
    if wanted.client_id is not None:
        statement.where(statement.near, "client_id = {}", wanted.client_id)
    if wanted.since is not None:
        statement.where(statement.near, "id >= {}", identifier.floor(wanted.since))
    state = _state(wanted)
    if state is not None and state in PASSES:
        statement.near.append(f"state = {int(state)}")  # in the text, so that the partial index serves
    elif wanted.status is not None:
        condition, value = standing.candidates(wanted.status)
        condition = condition.replace("q.state", _STATE).replace("m.client_id", "w.client_id").replace("m.id", "w.id")
        statement.where(statement.far, condition, value)
    if wanted.template is not None:
        statement.where(statement.far, "w.template = {}", wanted.template)
    if _TRACE.fullmatch(words):
        statement.where(statement.far, "w.traceparent like {}", f"__-{words}-%")
    elif words:
        if not _ESCAPED.search(words):
            # Looks at the JSON as it is before taking it apart, which costs three times as much.
            statement.where(statement.far, "strpos(lower(w.envelope::text), {}) > 0", words.lower())
        statement.where(statement.far, _RECIPIENTS + " like {}", f"%{_like(words.lower())}%")
    return statement


def _state(wanted: Wanted) -> State | None:
    return State.__members__.get((wanted.status or "").upper())


def _table(wanted: Wanted) -> str:
    return "queue" if _state(wanted) in PASSES else "messages"


def _page(statement: _Statement, wanted: Wanted, count: int) -> str:
    near = f"where {' and '.join(statement.near)}" if statement.near else ""
    if not statement.far:
        return f"select id from {_table(wanted)} {near} order by id desc limit {count}"
    window = f"select * from {_table(wanted)} {near} order by id desc limit {WINDOW}"
    if _table(wanted) == "queue":
        window = f"select m.* from ({window}) q join messages m on m.id = q.id order by m.id desc"
    return f"select w.id from ({window}) w where {' and '.join(statement.far)} order by w.id desc limit {count}"


async def _last(pool: asyncpg.Pool, statement: _Statement, wanted: Wanted) -> UUID | None:
    """Where the window ended; None when there was no more to look at."""
    near = f"where {' and '.join(statement.near)}" if statement.near else ""
    used = sum("$" in condition for condition in statement.near)
    found: UUID | None = await pool.fetchval(
        f"select id from {_table(wanted)} {near} order by id desc offset {WINDOW - 1} limit 1",
        *statement.values[:used],
    )
    return found


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
