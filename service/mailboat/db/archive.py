"""Archive: a month of messages as JSON lines in a file, and only then out of the tables.

A month is written, flushed to the disk, read back and counted before anything is dropped; what was interrupted is begun
again, and a month that changed meanwhile stays.
"""

from __future__ import annotations

import base64
import gzip
import os
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg

from mailboat.db import partitions
from mailboat.errors import MailboatError

AT_ONCE = 500  # rows per round trip
LOCK_SECONDS = 10  # dropping waits for the table's readers, and everybody else waits behind it

_MONTHS = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'messages'::regclass order by 1
"""
_COUNT = """
select count(*) as messages, count(*) filter (where q.state in (0, 1, 2)) as waiting
from messages m left join queue q on q.id = m.id where m.id >= $1 and m.id < $2
"""
_LINES = """
select json_build_object(
    'id', m.id, 'client', c.namespace || '/' || c.name, 'created_at', m.created_at, 'template', m.template,
    'revision', m.revision, 'locale', m.locale, 'envelope', m.envelope, 'data', m.data, 'content', m.content,
    'headers', m.headers, 'tags', m.tags, 'metadata', m.metadata, 'attachments', m.attachments,
    'traceparent', m.traceparent, 'lane', (array['high', 'normal', 'bulk'])[q.lane + 1],
    'state', (array['scheduled', 'queued', 'sending', 'sent', 'failed', 'dead', 'cancelled', 'held'])[q.state + 1],
    'provider', q.provider, 'provider_message_id', q.provider_message_id, 'error', q.error, 'updated_at', q.updated_at,
    'attempts', coalesce((select json_agg(json_build_object('number', a.number, 'provider', a.provider, 'outcome',
        a.outcome, 'detail', a.detail, 'recipients', a.recipients, 'started_at', a.started_at, 'seconds', a.seconds)
        order by a.number) from attempts a where a.message_id = m.id), '[]'),
    'events', coalesce((select json_agg(json_build_object('event', e.event, 'recipient', e.recipient, 'at', e.at,
        'provider', e.provider, 'bounce', e.bounce, 'reason', e.reason) order by e.at, e.id)
        from events e where e.message_id = m.id), '[]')
)::text
from messages m left join queue q on q.id = m.id left join clients c on c.id = m.client_id
where m.id >= $1 and m.id < $2 order by m.id
"""
_FILES = """
select a.digest, a.body from attachments a where a.digest in (
    select decode(f ->> 'digest', 'hex') from messages m, json_array_elements(m.attachments) f
    where m.id >= $1 and m.id < $2 and m.attachments is not null)
"""
_FORGET = "delete from queue where id >= $1 and id < $2 and state not in (0, 1, 2) and updated_at <= $3"


class Month(NamedTuple):
    """What there is of a month. `waiting` messages have yet to be sent: they keep it."""

    first: date
    messages: int
    waiting: int

    @property
    def name(self) -> str:
        return f"{self.first:%Y-%m}"

    @property
    def ids(self) -> tuple[UUID, UUID]:
        return partitions.first_id(self.first), partitions.first_id(partitions.month_after(self.first))


class Written(NamedTuple):
    """Files that are safe on the disk, as of a moment."""

    month: Month
    paths: list[Path]
    as_of: datetime


class Changed(MailboatError):
    """The month is not what was written any more; nothing was dropped."""


async def months(connection: asyncpg.Connection, before: date) -> list[Month]:
    """Those that have ended before the month of this day, the oldest first."""
    found = []
    for (name,) in await connection.fetch(_MONTHS):
        month = Month(partitions.month_of(name), 0, 0)
        if month.first < before.replace(day=1):
            found.append(Month(month.first, *await connection.fetchrow(_COUNT, *month.ids)))
    return found


async def write(connection: asyncpg.Connection, month: Month, folder: Path, told: Callable[[int], None]) -> Written:
    """`messages-YYYY-MM.jsonl.gz`, and `attachments-…` if any are carried, in place of what an earlier try left.

    `told` hears how many messages came. Raises OSError, MailboatError when a file does not hold what was written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        as_of: datetime = await connection.fetchval("select clock_timestamp()")
        place = folder / f"messages-{month.name}.jsonl.gz"
        count = await _write(place, _messages(connection, month), told)
        paths = [place]
        if await connection.fetchval(f"select exists ({_FILES})", *month.ids):
            paths.append(folder / f"attachments-{month.name}.jsonl.gz")
            await _write(paths[1], _attachments(connection, month), lambda _: None)
    return Written(month._replace(messages=count), paths, as_of)


async def drop(connection: asyncpg.Connection, written: Written) -> None:
    """The month leaves the tables. Raises Changed, and then it stays."""
    month = written.month
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
        gone = await connection.execute(_FORGET, *month.ids, written.as_of)
        if gone != f"DELETE {month.messages}":
            raise Changed(f"{month.name}: something happened to its messages meanwhile; run it again.")
        await connection.execute("delete from inbox where message_id >= $1 and message_id < $2", *month.ids)
        try:
            for table in partitions.PARTITIONED:
                await connection.execute(f"drop table if exists {partitions.name(table, month.first)}")
        except asyncpg.LockNotAvailableError:
            raise Changed(f"{month.name}: its tables are in use; run it again.") from None


async def _messages(connection: asyncpg.Connection, month: Month) -> AsyncIterator[str]:
    async for (line,) in connection.cursor(_LINES, *month.ids, prefetch=AT_ONCE):
        yield line


async def _attachments(connection: asyncpg.Connection, month: Month) -> AsyncIterator[str]:
    async for digest, body in connection.cursor(_FILES, *month.ids, prefetch=1):
        yield f'{{"digest": "{digest.hex()}", "content": "{base64.b64encode(body).decode()}"}}'


async def _write(place: Path, lines: AsyncIterator[str], told: Callable[[int], None]) -> int:
    """All of them under this name, or none; how many. Raises OSError, MailboatError."""
    part, count = place.with_name(f"{place.name}.part"), 0
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
            async for line in lines:
                # A line break in JSON is a space; in a text it is written as \n.
                packed.write(line.replace("\n", " ").replace("\r", " ").encode() + b"\n")
                count += 1
                told(1)
        file.flush()
        os.fsync(file.fileno())
    with gzip.open(part) as again:
        if _count(again) != count:
            raise MailboatError(f"{part} does not hold what was written to it: look at the disk. Nothing was dropped.")
    part.replace(place)
    _sync_folder(place.parent)
    return count


def _count(file: gzip.GzipFile) -> int:
    return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
