"""In PostgreSQL an operator that has been overtaken can write nothing, and waits for nobody."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from mailboat.db import engine
from mailboat.settings import Settings
from mailboat_operator.records import FENCED, Records

CLIENT = "insert into clients (namespace, name) values ('shop', $1)"
TABLES = ("clients", "client_keys", "client_secrets", "template_heads", "providers", "declared")


@pytest.fixture
async def records(dsn: str) -> Any:
    """records(): one more operator that has come to power."""
    made: list[Records] = []

    async def take_over() -> asyncpg.Pool:
        made.append(Records(Settings(database_url=dsn)))
        await made[-1].declarer()
        pool = made[-1]._pool
        assert pool is not None
        return pool

    yield take_over
    for one in made:
        await one.close()


async def test_the_newest_operator_writes(records: Any, query: Any) -> None:
    await records()
    second = await records()
    await second.execute(CLIENT, "storefront")
    assert len(query("select * from clients")) == 1


@pytest.mark.parametrize("table", TABLES)
async def test_the_one_before_is_refused_in_every_table(records: Any, table: str) -> None:
    first, _ = await records(), await records()
    with pytest.raises(asyncpg.PostgresError) as refused:
        await first.execute(f"delete from {table}")
    assert refused.value.sqlstate == FENCED


async def test_what_it_began_before_is_finished_first(records: Any, dsn: str, eventually: Any, query: Any) -> None:
    """The successor gets its epoch when the transaction is over, so it sees what that wrote."""
    import asyncio

    first = await records()
    async with first.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(CLIENT, "storefront")
        taking = asyncio.create_task(records())
        await asyncio.sleep(0.3)
        assert not taking.done()
        await transaction.commit()
    second = await taking
    assert await second.fetchval("select count(*) from clients") == 1


async def test_others_are_not_fenced(records: Any, dsn: str, query: Any) -> None:
    await records()
    connection = await engine.connect(dsn, name="api")
    await connection.execute(CLIENT, "storefront")
    await connection.close()
    assert len(query("select * from clients")) == 1
