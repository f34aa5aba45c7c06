"""Housekeeping: what is too old goes, what is needed soon is made, and two at it are one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailboat.db import engine, partitions
from mailboat.domain import identifier
from mailboat.worker.housekeeping import LOCK, Housekeeping


@pytest.fixture
async def housekeeping(settings_of: Any, pool: Any) -> Any:
    housekeeping = Housekeeping(settings_of(retention_days=60, idempotency_days=7, lease_seconds=1.0), pool)
    yield housekeeping
    await housekeeping.close()


async def test_missing_partitions_are_made(housekeeping, query):
    ahead = partitions.month_after(datetime.now(UTC).date().replace(day=1), 3)
    for table in partitions.PARTITIONED:
        query(f"drop table {partitions.name(table, ahead)}")
    assert await housekeeping.make_partitions() == [partitions.name(table, ahead) for table in partitions.PARTITIONED]
    assert await housekeeping.make_partitions() == []


async def test_retention_drops_the_months_that_are_too_old(housekeeping, pool, put):
    today = datetime.now(UTC).date()
    old = partitions.month_after(today.replace(day=1), -5)
    async with pool.acquire() as connection:
        await partitions.ensure(connection, old)
    young = put()
    ancient = identifier.at(int(datetime(old.year, old.month, 2, tzinfo=UTC).timestamp() * 1000))
    await pool.execute(
        "insert into messages (id, client_id, envelope, data, traceparent) values ($1, 1, '{}', '{}', '')", ancient
    )
    dropped = await housekeeping.retain()
    assert partitions.name("messages", old) in dropped
    assert [row[0] for row in await pool.fetch("select id from messages")] == [young]
    limit = (today - timedelta(days=60)).replace(day=1)
    assert all(name < partitions.name("messages", limit) for name in dropped if name.startswith("messages"))


async def test_old_keys_and_workers_long_gone_are_forgotten(housekeeping, pool, worker_row, put):
    await pool.execute(
        """insert into idempotency (client_id, key, message_id, digest, created_at) values
        (1, 'old', gen_random_uuid(), '', now() - interval '8 days'), (1, 'new', gen_random_uuid(), '', now())"""
    )
    gone, owning, silent = worker_row("gone", 101), worker_row("owning", 101), worker_row("silent", 99)
    put(state=2, owner=owning, attempts=1)
    await housekeeping.forget()
    assert [row[0] for row in await pool.fetch("select key from idempotency")] == ["new"]
    assert {row[0] for row in await pool.fetch("select id from workers")} == {owning, silent} - {gone}


async def test_attachments_are_forgotten_when_no_message_can_carry_them(housekeeping, pool):
    await pool.execute(
        """insert into attachments (digest, body, used_at) values ('old', '', now() - interval '94 days'),
        ('new', '', now() - interval '92 days')"""
    )
    await housekeeping.forget()
    assert [bytes(row[0]) for row in await pool.fetch("select digest from attachments")] == [b"new"]


async def test_whoever_comes_second_leaves_it_to_the_first(housekeeping, pool, query):
    ahead = partitions.month_after(datetime.now(UTC).date().replace(day=1), 3)
    query(f"drop table {partitions.name('messages', ahead)}")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
        assert await housekeeping.make_partitions() == []
        assert await housekeeping.retain() == []
        await housekeeping.forget()
    assert await housekeeping.make_partitions() == [partitions.name("messages", ahead)]


async def test_it_is_skipped_in_peace_while_postgres_is_away(settings_of, tmp_path):
    dsn = f"postgresql://postgres@/nowhere?host={tmp_path}"
    pool = await engine.pool(dsn, name="test", size=1)
    housekeeping = Housekeeping(settings_of(database_url=dsn), pool)
    assert await housekeeping.make_partitions() == []
    assert await housekeeping.retain() == []
    await housekeeping.forget()
    await housekeeping.close()
    await pool.close()


async def test_its_tasks_run_through_the_queue_of_taskiq(housekeeping, query, eventually):
    ahead = partitions.month_after(datetime.now(UTC).date().replace(day=1), 3)
    query(f"drop table {partitions.name('messages', ahead)}")
    running = asyncio.ensure_future(housekeeping.run())
    await housekeeping._broker.find_task("make_partitions").kiq()
    await eventually(lambda: query(f"select to_regclass('{partitions.name('messages', ahead)}')")[0][0])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
