from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from mailboat.db import engine


@pytest.fixture
def empty_dsn(database: Any) -> Iterator[str]:
    """A database without a single table."""
    with database(template="template1") as dsn:
        yield dsn


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await engine.connect(dsn, name="test")
    yield connection
    await connection.close()


@pytest.fixture
def tables_of(aside: Any) -> Callable[[str], set[str]]:
    """tables_of(dsn): the names of its tables."""

    async def names(dsn: str) -> set[str]:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        await connection.close()
        return {row[0] for row in rows}

    return lambda dsn: aside.run(names(dsn))
