"""Connections: asyncpg for the hot path, SQLAlchemy over the same driver for the admin side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

import asyncpg

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

PATIENCE_SECONDS = 5.0  # for a connection of a pool, and for its return
MOST_ASKED = 200  # questions that Prompt has open at once

# What a Postgres that is away, starting, stopping or full looks like to a caller.
AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a request on a connection to which the server has just said goodbye
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
)


async def pause(seconds: float) -> None:
    """Sleep between two rounds of a loop that goes on whatever `AWAY` names.

    Ends a task whose cancellation came to such an error instead: a library that is cancelled while its connection
    breaks tells of the connection.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    await asyncio.sleep(seconds)


async def connect(
    dsn: str, *, name: str, timeout: float = 5.0, patience: float | None = None, **settings: str
) -> asyncpg.Connection:
    """One dedicated connection, within `timeout` seconds; `patience` is the timeout of statements that have none.

    `name` shows in pg_stat_activity; further settings hold for its whole life.
    """
    return await asyncpg.connect(
        dsn,
        timeout=timeout,
        command_timeout=patience,
        server_settings={"application_name": name, "jit": "off", **settings},
    )


async def unchanged(_: asyncpg.Connection) -> None:
    """The `reset` of a pool whose users leave nothing behind in its sessions: it saves a question per use."""


async def pool(
    dsn: str,
    *,
    name: str,
    size: int,
    reset: Callable[[asyncpg.Connection], Awaitable[None]] | None = None,
    **settings: str,
) -> asyncpg.Pool:
    """A pool that opens its connections when they are needed, at most `size`. `reset`: instead of asyncpg's own."""
    return await _Pool(
        dsn,
        min_size=0,
        max_size=size,
        max_queries=50_000,
        timeout=PATIENCE_SECONDS,
        command_timeout=30.0,
        max_inactive_connection_lifetime=60.0,
        reset=reset,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        server_settings={"application_name": name, "jit": "off", **settings},
    )


class _Pool(asyncpg.Pool):  # type: ignore[misc]
    """asyncpg waits for ever for a free connection, and for ever to get one back whose query was given up: on a line
    that has gone silent its users would hang with it."""

    def acquire(self, *, timeout: float | None = None) -> Any:
        return super().acquire(timeout=PATIENCE_SECONDS if timeout is None else timeout)


async def close(pool: asyncpg.Pool, seconds: float = 5.0) -> None:
    """Close a pool in order, or at once when Postgres does not answer."""
    try:
        await asyncio.wait_for(pool.close(), seconds)
    except TimeoutError:
        pool.terminate()


class Prompt:
    """A pool's answers within `seconds`, else TimeoutError.

    What was asked goes on without the one who asked, since a pool waits for a late answer before it lets go of its
    connection; so there is a limit to how much may be asked at once.
    """

    def __init__(self, pool: asyncpg.Pool, seconds: float) -> None:
        self._pool, self._seconds = pool, seconds
        self._asked: set[asyncio.Task[Any]] = set()

    async def fetch(self, *query: Any) -> list[asyncpg.Record]:
        return cast(list[asyncpg.Record], await self._answer(self._pool.fetch(*query)))

    async def fetchrow(self, *query: Any) -> asyncpg.Record | None:
        return await self._answer(self._pool.fetchrow(*query))

    async def fetchval(self, *query: Any) -> Any:
        return await self._answer(self._pool.fetchval(*query))

    async def execute(self, *query: Any) -> str:
        return cast(str, await self._answer(self._pool.execute(*query)))

    def acquire(self) -> Any:
        """A connection of the pool itself, for what may take its time."""
        return self._pool.acquire()

    async def _answer(self, question: Coroutine[Any, Any, Any]) -> Any:
        if len(self._asked) >= MOST_ASKED:
            question.close()
            raise TimeoutError
        task = asyncio.create_task(question)
        self._asked.add(task)
        task.add_done_callback(self._answered)
        await asyncio.wait({task}, timeout=self._seconds)
        if not task.done():
            raise TimeoutError
        return task.result()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # seen, should nobody wait for it any more


def orm(dsn: str) -> AsyncEngine:
    """SQLAlchemy's engine on the same DSN, as asyncpg reads it."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def creator(*_: Any, **__: Any) -> asyncpg.Connection:
        return await connect(dsn, name="mailboat-admin")

    return create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
