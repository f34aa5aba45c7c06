"""Connections: asyncpg for the hot path, SQLAlchemy over the same driver for the admin side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

# What a Postgres that is away, starting, stopping or full looks like to a caller.
AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
)


async def connect(dsn: str, *, name: str, timeout: float = 5.0, **settings: str) -> asyncpg.Connection:
    """One dedicated connection. `name` shows in pg_stat_activity; further settings hold for its whole life."""
    return await asyncpg.connect(
        dsn, timeout=timeout, server_settings={"application_name": name, "jit": "off", **settings}
    )


async def pool(dsn: str, *, name: str, size: int, **settings: str) -> asyncpg.Pool:
    """A pool that opens its connections when they are needed, at most `size`."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=5.0,
        command_timeout=30.0,
        max_inactive_connection_lifetime=60.0,
        server_settings={"application_name": name, "jit": "off", **settings},
    )


def orm(dsn: str) -> AsyncEngine:
    """SQLAlchemy's engine on the same DSN, as asyncpg reads it."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def creator(*_: Any, **__: Any) -> asyncpg.Connection:
        return await connect(dsn, name="mailboat-admin")

    return create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
