"""Bring the schema to the newest migration. Safe to run from many places at once: one runs, the others wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError

from mailboat.db import engine, partitions
from mailboat.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger()
LOCK = 0x6D61696C626F6174  # "mailboat"
OLDEST = 150000


def upgrade(dsn: str) -> None:
    """Migrate to the newest schema and make partitions ahead. Raises ConfigurationError when it cannot be done.

    A schema that a newer Mailboat made stays as it is: migrations only add, so that the older one works with it too,
    and the way back must be open.
    """
    asyncio.run(bring(dsn))


async def bring(dsn: str, target: str = "head") -> None:
    """The same for who has an event loop, and up to the revision `target` where a backup was made by an older one."""
    try:
        await _upgrade(dsn, target)
    except (OSError, asyncpg.PostgresError, SQLAlchemyError, ValueError) as error:
        raise ConfigurationError(f"DATABASE_URL: cannot migrate: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What PostgreSQL said, without what SQLAlchemy says around it."""
    said = getattr(getattr(error, "orig", None), "__cause__", None) or error
    return str(said) or type(said).__name__


async def _upgrade(dsn: str, target: str) -> None:
    lock = await engine.connect(dsn, name="mailboat-migrate")
    try:
        version = int(await lock.fetchval("show server_version_num"))
        if version < OLDEST:
            raise ConfigurationError(f"PostgreSQL {version // 10000} is too old: use 15 or newer")
        await lock.execute("select pg_advisory_lock($1)", LOCK)
        orm = engine.orm(dsn)
        async with orm.connect() as connection:
            await connection.run_sync(_run, target)
            await connection.commit()
        await partitions.ensure(lock, datetime.now(UTC).date())
    finally:
        await lock.close()


def head() -> str | None:
    """The newest revision of the schema that this Mailboat knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def revisions() -> set[str]:
    """Every revision of the schema that this Mailboat knows."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _run(connection: Connection, target: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in revisions():
        log.warning("the schema is of a newer Mailboat; it stays", revision=found, newest_known=head())
        return
    command.upgrade(config, target)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "mailboat.db:migrations")
    return config
