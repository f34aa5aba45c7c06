"""The SQL that reads and empties the inbox. The provider `inbox` fills it and tells CHANNEL each message id.

Newest first; a cursor is the place of a row in that order, so that paging neither skips nor repeats a mail while
others arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

import asyncpg
import msgspec

from mailboat.dashboard import mime

CHANNEL = "mailboat_inbox"
"""Payload: the id of a mail that arrived, or nothing when others were deleted."""
PAGE = 50
MOST = 500  # rows of a list that is drawn again as far as it had been paged
HEAD = 16_384  # octets that are enough for the first words of a mail
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cursor(msgspec.Struct, frozen=True):
    """The place of a mail in the list: its arrival to the microsecond, then its id."""

    received_at: datetime
    message_id: UUID

    def __str__(self) -> str:
        return f"{(self.received_at - EPOCH) // timedelta(microseconds=1)}-{self.message_id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that `str` wrote. Raises ValueError."""
        moment, _, identifier = text.partition("-")
        try:
            return cls(EPOCH + timedelta(microseconds=int(moment)), UUID(identifier))
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is not a cursor: pass `next` of the page before unchanged") from None


class Row(msgspec.Struct, frozen=True):
    """One mail in the list. `head` is the beginning of the mail."""

    message_id: UUID
    client: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    received_at: datetime
    head: bytes = b""

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.received_at, self.message_id)

    @property
    def snippet(self) -> str:
        return mime.first_words(self.head)


class Listing(msgspec.Struct, frozen=True):
    """A piece of the list, and whether it goes on after it."""

    rows: Sequence[Row]
    more: bool


class Kept(msgspec.Struct, frozen=True):
    """One mail with all its bytes."""

    row: Row
    raw: bytes


# $1 is a pattern or "" for every mail, $2 how many octets of each mail are wanted, $3 how many rows.
PAGE_BEFORE = """
select message_id, client, sender, recipients, subject, received_at, substring(raw for $2) as head from inbox
where ($1 = '' or sender ilike $1 or subject ilike $1 or array_to_string(recipients, ' ') ilike $1)
  and ($4::timestamptz is null or (received_at, message_id) < ($4, $5::uuid))
order by received_at desc, message_id desc limit $3
"""
PAGE_SINCE = """
select message_id, client, sender, recipients, subject, received_at, substring(raw for $2) as head from inbox
where ($1 = '' or sender ilike $1 or subject ilike $1 or array_to_string(recipients, ' ') ilike $1)
  and (received_at, message_id) >= ($4, $5::uuid)
order by received_at desc, message_id desc limit $3
"""
NAMED = """
select message_id, client, sender, recipients, subject, received_at, substring(raw for $2) as head from inbox
where ($1 = '' or sender ilike $1 or subject ilike $1 or array_to_string(recipients, ' ') ilike $1)
  and message_id = any($4::uuid[])
order by received_at desc, message_id desc limit $3
"""
ONE = """
select message_id, client, sender, recipients, subject, received_at, raw from inbox where message_id = $1
"""
NEWEST = "select message_id from inbox order by received_at desc, message_id desc limit 1"


async def page(pool: asyncpg.Pool, *, query: str = "", before: Cursor | None = None, head: int = HEAD) -> Listing:
    """The PAGE mails that come after `before`, or the newest."""
    place = (before.received_at, before.message_id) if before else (None, None)
    found = _rows(await pool.fetch(PAGE_BEFORE, _pattern(query), head, PAGE + 1, *place))
    return Listing(found[:PAGE], len(found) > PAGE)


async def since(pool: asyncpg.Pool, last: Cursor, *, query: str = "") -> Listing:
    """The list down to `last`, at most MOST mails."""
    place = (last.received_at, last.message_id)
    found = _rows(await pool.fetch(PAGE_SINCE, _pattern(query), HEAD, MOST + 1, *place))
    older = await pool.fetch(PAGE_BEFORE, _pattern(query), 0, 1, *place)
    return Listing(found[:MOST], len(found) > MOST or bool(older))


async def rows(pool: asyncpg.Pool, ids: Sequence[UUID], *, query: str = "") -> Sequence[Row]:
    """Those of these mails that are there and fit the search."""
    return _rows(await pool.fetch(NAMED, _pattern(query), HEAD, len(ids), ids))


async def get(pool: asyncpg.Pool, message_id: UUID) -> Kept | None:
    """One mail, or None when there is none of this id."""
    record = await pool.fetchrow(ONE, message_id)
    if record is None:
        return None
    fields = dict(record)
    raw = fields.pop("raw")
    return Kept(_row(fields), raw)


async def newest(pool: asyncpg.Pool) -> UUID | None:
    """The newest mail's id, or None while the inbox is empty."""
    found: UUID | None = await pool.fetchval(NEWEST)
    return found


async def delete(pool: asyncpg.Pool, message_id: UUID) -> bool:
    """Delete one mail and tell every open page. False when it was not there."""
    return await _deleted(pool, "delete from inbox where message_id = $1", message_id) > 0


async def clear(pool: asyncpg.Pool) -> int:
    """Delete every mail and tell every open page. How many there were."""
    return await _deleted(pool, "delete from inbox")


async def _deleted(pool: asyncpg.Pool, statement: str, *arguments: Any) -> int:
    async with pool.acquire() as connection, connection.transaction():
        count = int((await connection.execute(statement, *arguments)).split()[-1])
        if count:
            await connection.execute("select pg_notify($1, '')", CHANNEL)
    return count


def _pattern(query: str) -> str:
    """A search as a pattern of ILIKE that finds it anywhere, or "" for everything."""
    query = query.strip().replace("\x00", "")
    for special in ("\\", "%", "_"):
        query = query.replace(special, f"\\{special}")
    return f"%{query}%" if query else ""


def _rows(records: Sequence[asyncpg.Record]) -> Sequence[Row]:
    return [_row(dict(record)) for record in records]


def _row(fields: dict[str, Any]) -> Row:
    return Row(**{**fields, "recipients": tuple(fields["recipients"])})
