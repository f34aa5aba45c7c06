"""Partitions are made ahead of time, hold exactly their month, and go as a whole."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.db import engine, partitions
from mailboat.domain import identifier

TABLES = ("messages", "attempts")
COLUMNS = {"messages": "id", "queue": "id", "attempts": "message_id", "inbox": "message_id"}


async def put(connection: asyncpg.Connection, message_id: UUID) -> None:
    """A message with everything that hangs on it."""
    await connection.execute(
        "insert into messages (id, client_id, envelope, data, traceparent) values ($1, 1, '{}', '{}', '')", message_id
    )
    await connection.execute("insert into queue (id, client_id, lane, state) values ($1, 1, 1, 3)", message_id)
    await connection.execute("insert into attempts (message_id, number, outcome) values ($1, 1, 'sent')", message_id)
    await connection.execute(
        "insert into inbox (message_id, client, sender, recipients, subject, raw) values ($1, '', '', '{}', '', '')",
        message_id,
    )


async def left(connection: asyncpg.Connection) -> dict[str, set[UUID]]:
    rows = {table: await connection.fetch(f"select {column} from {table}") for table, column in COLUMNS.items()}
    return {table: {row[0] for row in found} for table, found in rows.items()}


@given(st.dates(date(1971, 1, 1), date(2800, 1, 1)), st.integers(0, 40))
def test_months_follow_each_other(day, count):
    month = day.replace(day=1)
    later = month
    for _ in range(count):
        later = (later + timedelta(days=31)).replace(day=1)
    assert partitions.month_after(month, count) == later
    assert partitions.month_after(later, -count) == month


async def test_a_migrated_database_has_the_months_from_last_to_three_ahead(connection) -> None:
    names = {row[0] for row in await connection.fetch("select relname from pg_class where relispartition")}
    month = datetime.now(UTC).date().replace(day=1)
    wanted = [partitions.month_after(month, n) for n in range(-1, 4)]
    assert names >= {partitions.name(table, month) for table in TABLES for month in wanted}


async def test_partitions_ahead_are_made_once(connection) -> None:
    made = await partitions.ensure(connection, date(2031, 11, 30))
    months = ["2031_10", "2031_11", "2031_12", "2032_01", "2032_02"]
    assert made == [f"{table}_{month}" for month in months for table in TABLES]
    assert await partitions.ensure(connection, date(2031, 11, 1)) == []
    assert await partitions.ensure(connection, date(2031, 12, 1)) == ["messages_2032_03", "attempts_2032_03"]


async def test_many_may_make_the_same_partitions_at_once(dsn: str) -> None:
    connections = [await engine.connect(dsn, name="test") for _ in range(6)]
    made = await asyncio.gather(*(partitions.ensure(one, date(2031, 5, 1)) for one in connections))
    assert sorted(name for names in made for name in names) == sorted(
        f"{table}_2031_0{month}" for month in range(4, 9) for table in TABLES
    )
    for one in connections:
        await one.close()


@pytest.mark.parametrize("milliseconds", [0, 1, -1])
async def test_the_first_and_the_last_id_of_a_month_fall_into_it(connection, milliseconds) -> None:
    await partitions.ensure(connection, date(2031, 12, 1))
    boundary = int(datetime(2032, 1, 1, tzinfo=UTC).timestamp() * 1000)
    tail = b"\0" * 10 if milliseconds >= 0 else b"\xff" * 10
    message_id = identifier.at(boundary + milliseconds, tail)
    await put(connection, message_id)
    place = await connection.fetchval("select tableoid::regclass::text from messages where id = $1", message_id)
    assert place == ("messages_2032_01" if milliseconds >= 0 else "messages_2031_12")


async def test_retention_drops_whole_months_with_all_that_hangs_on_their_messages(connection) -> None:
    for day in (date(2031, 2, 1), date(2031, 7, 1)):
        await partitions.ensure(connection, day)
    days = [
        datetime(2031, month, day, tzinfo=UTC) for month, day in [(1, 31), (2, 1), (3, 31), (4, 1), (4, 30), (5, 2)]
    ]
    ids = [identifier.at(int(day.timestamp() * 1000)) for day in days]
    for message_id in ids:
        await put(connection, message_id)
    dropped = await partitions.drop_before(connection, date(2031, 4, 30))
    assert [name for name in dropped if name.startswith("messages_2031")] == [
        f"messages_2031_0{month}" for month in (1, 2, 3)
    ]
    assert [name.replace("messages", "attempts") for name in dropped if "messages" in name] == [
        name for name in dropped if "attempts" in name
    ]
    assert await left(connection) == {table: set(ids[3:]) for table in COLUMNS}


async def test_rows_of_old_months_are_deleted_a_few_at_a_time(connection, monkeypatch) -> None:
    monkeypatch.setattr(partitions, "AT_ONCE", 2)
    await partitions.ensure(connection, date(2031, 2, 1))
    days = [datetime(2031, 1, day, tzinfo=UTC) for day in range(1, 6)]
    for day in (*days, datetime(2031, 2, 1, tzinfo=UTC)):
        await put(connection, identifier.at(int(day.timestamp() * 1000)))
    counts = [await partitions.forget_before(connection, date(2031, 2, 28)) for _ in range(4)]
    assert counts == [4, 4, 2, 0]
    assert await connection.fetchval("select count(*) from queue") == 1
    assert await connection.fetchval("select count(*) from messages") == 6


async def test_retention_of_nothing_old_drops_nothing(connection) -> None:
    message_id = identifier.new()
    await put(connection, message_id)
    today = datetime.now(UTC).date()
    assert await partitions.drop_before(connection, partitions.month_after(today.replace(day=1), -1)) == []
    assert await left(connection) == {table: {message_id} for table in COLUMNS}
