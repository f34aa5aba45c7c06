"""Search across clients, over millions of messages, in bounded time.

What an index leads to is found at once: an id, a provider's id, a whole address, a client, a moment, a state that few
messages are in. Everything else is looked for among the next WINDOW messages, newest first, and the page says how far
back it looked.
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
SCATTERED = 5_000  # and where each of them, or what is known of it, lies in a place of its own
NEWEST = 2_000  # messages among which an address that gets much mail fills a page
PASSES = (State.SCHEDULED, State.QUEUED, State.SENDING, State.DEAD, State.HELD)  # states with a partial index

_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_ESCAPED = re.compile(r"[\x00-\x1f\"\\]")  # what JSON writes in another way
_TRACE = re.compile(r"[0-9a-f]{32}")
_BY_PROVIDER = "select id from queue where provider_message_id = $1 and provider <> 'inbox' order by id desc limit 100"
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
# As the indexes `messages_recipient` and `messages_several` have them (migration 0008).
_FIRST = "lower(envelope -> 'to' -> 0 ->> 'email')"
_SEVERAL = """envelope::text like '%"email"%"email"%"email"%'"""
# How rare an address is, Postgres knows only once it has looked; until then it would rather read everything.
_BY_INDEX = "set local enable_seqscan = off; set local jit = off"
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

    @property
    def used(self) -> int:
        """How many of the values stand in near conditions."""
        return sum("$" in condition for condition in self.near)


async def find(pool: asyncpg.Pool, wanted: Wanted, *, limit: int, cursor: str | None = None) -> Found:
    """Messages, newest first. Raises Problem 400 for a foreign cursor."""
    words = wanted.words.strip().replace("\0", "")
    if (exact := await _exact(pool, words)) and (items := await query.listed(pool, exact)):
        return Found(items)
    before = query.id_of(cursor) if cursor else None
    if _ADDRESS.fullmatch(words) and (found := await _mailed(pool, wanted, words, limit, before)) is not None:
        return found
    statement = _statement(wanted, words, before)
    ids = [row["id"] for row in await pool.fetch(_page(statement, wanted, limit + 1), *statement.values)]
    last = await _last(pool, statement, wanted) if statement.far and len(ids) <= limit else None
    found = await _shown(pool, wanted, ids, limit)
    return Found(found.items, query.cursor_of(last), identifier.moment(last)) if last else found


async def _mailed(pool: asyncpg.Pool, wanted: Wanted, words: str, limit: int, before: UUID | None) -> Found | None:
    """What went to a whole address, however long ago; None: nothing did. One that gets much mail fills the page with
    its newest; there an index would lead to all of it first. Copies to further recipients are looked for among the
    newest WINDOW messages that have any."""
    statement = _statement(wanted, words, before, by_address=True)
    near = f"where {' and '.join(statement.near)}" if statement.near else ""
    newest = f"select * from messages {near} order by id desc limit {NEWEST}"
    ids = [row["id"] for row in await pool.fetch(_among(newest, statement, limit + 1), *statement.values)]
    if len(ids) > limit:
        return await _shown(pool, wanted, ids, limit)
    values = [*statement.values, words.lower()]
    also = " and ".join(["", *statement.near])
    several = f"select id from messages where {_SEVERAL}{also} order by id desc"
    mailed = f"""
    with mailed as materialized (
        select id from messages where {_FIRST} = ${len(values)}{also} union ({several} limit {WINDOW})
    ) select m.* from messages m where m.id in (select id from mailed)
    """
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(_BY_INDEX)
        ids = [row["id"] for row in await connection.fetch(_among(mailed, statement, limit + 1), *values)]
    if not ids:
        return None
    found = await _shown(pool, wanted, ids, limit)
    last = await pool.fetchval(f"{several} offset {WINDOW - 1} limit 1", *statement.values[: statement.used])
    return Found(found.items, found.next, identifier.moment(last) if last else None)


async def _shown(pool: asyncpg.Pool, wanted: Wanted, ids: list[UUID], limit: int) -> Found:
    items = await query.listed(pool, ids[:limit])
    if wanted.status is not None:
        # A later event may have changed what a message is; it is left out here and found under its own status.
        items = [item for item in items if item["status"] == wanted.status]
    return Found(items, query.cursor_of(ids[limit - 1]) if len(ids) > limit else None)


async def _exact(pool: asyncpg.Pool, words: str) -> list[UUID]:
    if _ID.fullmatch(words):
        return [UUID(words)]
    return [row["id"] for row in await pool.fetch(_BY_PROVIDER, words)] if len(words) > 5 else []


def _statement(wanted: Wanted, words: str, before: UUID | None, *, by_address: bool = False) -> _Statement:
    """The values of near conditions come first: `_last` needs those alone. `by_address`: near is what the table
    `messages` itself can tell."""
    statement = _Statement()
    if before is not None:
        statement.where(statement.near, "id < {}", before)
    if wanted.client_id is not None:
        statement.where(statement.near, "client_id = {}", wanted.client_id)
    if wanted.since is not None:
        statement.where(statement.near, "id >= {}", identifier.floor(wanted.since))
    state = _state(wanted)
    if state is not None and state in PASSES and not by_address:
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


def _window(wanted: Wanted) -> int:
    """How many messages are looked at: fewer where that means a read at random for each."""
    return SCATTERED if wanted.client_id is not None or wanted.status in standing.REPORTED else WINDOW


def _page(statement: _Statement, wanted: Wanted, count: int) -> str:
    near = f"where {' and '.join(statement.near)}" if statement.near else ""
    if not statement.far:
        return f"select id from {_table(wanted)} {near} order by id desc limit {count}"
    window = f"select * from {_table(wanted)} {near} order by id desc limit {_window(wanted)}"
    if _table(wanted) == "queue":
        window = f"select m.* from ({window}) q join messages m on m.id = q.id order by m.id desc"
    return _among(window, statement, count)


def _among(window: str, statement: _Statement, count: int) -> str:
    return f"select w.id from ({window}) w where {' and '.join(statement.far)} order by w.id desc limit {count}"


async def _last(pool: asyncpg.Pool, statement: _Statement, wanted: Wanted) -> UUID | None:
    """Where the window ended; None when there was no more to look at."""
    near = f"where {' and '.join(statement.near)}" if statement.near else ""
    found: UUID | None = await pool.fetchval(
        f"select id from {_table(wanted)} {near} order by id desc offset {_window(wanted) - 1} limit 1",
        *statement.values[: statement.used],
    )
    return found


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
