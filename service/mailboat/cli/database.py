"""The database of an installation, for commands that need nothing else: one that runs, or that of a data folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import click

from mailboat import settings
from mailboat.cli import declared, folder, postgres
from mailboat.cli.supervisor import Supervisor
from mailboat.db import engine
from mailboat.errors import MailboatError
from mailboat.settings import Settings

DATA = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`, which need not run; DATABASE_URL names a database elsewhere.",
)


@contextlib.asynccontextmanager
async def reached(data: Path, *, make: bool = False) -> AsyncIterator[Settings]:
    """Settings whose database answers. That of a data folder is started for as long; with `make`, made at need.

    The environment's DATABASE_URL comes first, unless --data is typed. Raises ConfigurationError, MailboatError.
    """
    chosen = settings.load({**os.environ, **declared.of_folder(data)})
    runs = bool(list((data / "run").glob(".s.PGSQL.*")))
    if runs or not _of_folder() or not (make or (data / "postgres").exists()):
        yield chosen
        return
    with folder.claim(data, say) as lock:
        owner = postgres.owner(data / "postgres")
        sockets = folder.sockets(data, owner)
        (data / "logs").mkdir(mode=0o700, exist_ok=True)
        supervisor = Supervisor(data / "logs", say, (lock,))
        try:
            await postgres.start(supervisor, say, data / "postgres", sockets, owner)
            yield settings.load({**os.environ, **declared.of_folder(data), "DATABASE_URL": postgres.dsn(sockets)})
        finally:
            await supervisor.stop()
            folder.remove_sockets(data)


@contextlib.asynccontextmanager
async def connection(chosen: Settings, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Raises MailboatError when nobody answers, and when it ends in the middle."""
    try:
        found = await engine.connect(chosen.database_url, name=name)
    except engine.AWAY as error:
        raise MailboatError(
            f"No database ({error or type(error).__name__}): set DATABASE_URL, or name a data folder with --data."
        ) from None
    try:
        yield found
    except asyncpg.UndefinedTableError:
        raise MailboatError("The database is not migrated: run `mailboat migrate`.") from None
    except (*engine.AWAY, asyncpg.PostgresError) as error:
        raise MailboatError(f"The database stopped it ({error or type(error).__name__}): run it again.") from None
    finally:
        await found.close(timeout=5)


def is_typed() -> bool:
    """Whether --data stands in the command line."""
    return click.get_current_context().get_parameter_source("data") == click.core.ParameterSource.COMMANDLINE


def _of_folder() -> bool:
    return is_typed() or not os.environ.get("DATABASE_URL")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
