from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from mailboat.db import engine

_numbers = itertools.count(1)


@pytest.fixture
def empty_dsn(postgres: Any, administrator: asyncpg.Connection, aside: Any) -> Iterator[str]:
    """A database without a single table."""
    name = f"empty_{next(_numbers)}"
    aside.run(administrator.execute(f"create database {name}"))
    yield postgres.dsn(name)
    aside.run(administrator.execute(f"drop database {name} with (force)"))


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
        rows = await connection.fetch("select relname from pg_class where relkind in ('r', 'p') and relnamespace = "
                                      "'public'::regnamespace")  # fmt: skip
        await connection.close()
        return {row[0] for row in rows}

    return lambda dsn: aside.run(names(dsn))
