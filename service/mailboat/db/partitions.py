"""Monthly partitions of `messages` and `attempts`: made ahead of time, dropped when their month is too old.

Ids are UUIDv7, so a month is a range of ids.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

import asyncpg

PARTITIONED = ("messages", "attempts")
MONTHS_AHEAD = 3
AT_ONCE = 10_000  # rows that are deleted by one statement
LOCK = 0x6D61696C626F6176

_FORGET = [
    f"delete from {table} where {column} = any(array(select {column} from {table} where {column} < $1 limit $2))"
    for table, column in (("queue", "id"), ("inbox", "message_id"))
]


def month_after(month: date, count: int = 1) -> date:
    """The first day of the month `count` months later (or earlier)."""
    index = month.year * 12 + month.month - 1 + count
    return date(index // 12, index % 12 + 1, 1)


def first_id(month: date) -> UUID:
    """The lowest id that a message of this month can have."""
    milliseconds = int(datetime(month.year, month.month, 1, tzinfo=UTC).timestamp() * 1000)
    return UUID(bytes=milliseconds.to_bytes(6, "big") + bytes(10))


def name(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


async def ensure(connection: asyncpg.Connection, today: date) -> list[str]:
    """Make the partitions from last month (clocks differ) to MONTHS_AHEAD. Returns the names of new ones."""
    return await make(connection, [month_after(today.replace(day=1), offset) for offset in range(-1, MONTHS_AHEAD + 1)])


async def make(connection: asyncpg.Connection, months: list[date]) -> list[str]:
    """Make the partitions of these months, first days all. Returns the names of new ones."""
    if not await _missing(connection, months):
        return []
    async with connection.transaction():
        # One at a time: `if not exists` looks before it waits for the table's lock, and fails after it.
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        missing = await _missing(connection, months)
        for table, month in missing:
            await connection.execute(
                f"create table {name(table, month)} partition of {table} "
                f"for values from ('{first_id(month)}') to ('{first_id(month_after(month))}')"
            )
    return [name(table, month) for table, month in missing]


async def _missing(connection: asyncpg.Connection, months: list[date]) -> list[tuple[str, date]]:
    """Table and month of each partition that should be there and is not."""
    wanted = {name(table, month): (table, month) for month in months for table in PARTITIONED}
    rows = await connection.fetch(
        # Not by to_regclass, which may remember that a table was missing.
        "select name from unnest($1::text[]) with ordinality as t(name, n) where not exists "
        "(select from pg_class where relname = name and pg_table_is_visible(oid)) order by n",
        list(wanted),
    )
    return [wanted[row[0]] for row in rows]


async def forget_before(connection: asyncpg.Connection, day: date) -> int:
    """Delete rows outside of partitions that belong to messages of whole months before `day`, at most AT_ONCE of each
    table; how many. In a transaction each time, ten million rows hold up nobody."""
    answers = [await connection.execute(one, first_id(day.replace(day=1)), AT_ONCE) for one in _FORGET]
    return sum(int(answer.split()[1]) for answer in answers)


async def drop_before(connection: asyncpg.Connection, day: date) -> list[str]:
    """Drop the partitions of whole months before `day`, and what is left of their messages in other tables. The drops
    come last: they lock out everybody until the transaction ends."""
    limit = day.replace(day=1)
    while await forget_before(connection, day):
        pass
    names = await connection.fetch(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "where i.inhparent = any($1::regclass[]::oid[])",
        list(PARTITIONED),
    )
    old = sorted(row[0] for row in names if month_of(row[0]) < limit)
    for partition in old:
        await connection.execute(f"drop table if exists {partition}")
    return old


def month_of(partition: str) -> date:
    """The month in a partition's name."""
    year, month = partition.rsplit("_", 2)[1:]
    return date(int(year), int(month), 1)
