"""`mailboat archive`: old months of messages into files, and out of the database."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import click

from mailboat import settings
from mailboat.cli import output
from mailboat.cli.declared import of_folder
from mailboat.cli.options import seconds
from mailboat.db import archive as months
from mailboat.db import engine
from mailboat.errors import MailboatError

COLUMNS = ("month", "messages", "outcome", "files")


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option(
    "--older-than",
    type=seconds,
    metavar="AGE",
    help="Whole months of messages older than this, such as 365d.  [default: MAILBOAT_RETENTION_DAYS]",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be archived.")
@click.option("--keep", is_flag=True, help="Write the files and leave the database as it is.")
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`; DATABASE_URL names a database elsewhere.",
)
def archive(folder: Path | None, older_than: int | None, dry_run: bool, keep: bool, form: str, data: Path) -> None:
    """Write whole months of old messages to gzipped JSON lines, then drop them.

    Nothing is dropped before it is on the disk; an interrupted run is simply begun again. The exit code is 1 when a
    month had to stay.
    """
    if folder is None and not dry_run:
        raise click.UsageError("Name a folder with --to, or look first with --dry-run.")
    chosen = settings.load({**os.environ, **of_folder(data.expanduser().resolve())})
    age = timedelta(days=chosen.retention_days) if older_than is None else timedelta(seconds=older_than)
    rows = asyncio.run(_archive(chosen.database_url, (datetime.now(UTC) - age).date(), folder, dry_run, keep))
    output.show(rows, form, COLUMNS)
    left = [row["month"] for row in rows if row["outcome"].startswith("left")]
    if left and not dry_run:
        raise MailboatError(f"Left in the database: {', '.join(left)}.")


async def _archive(dsn: str, before: date, folder: Path | None, dry_run: bool, keep: bool) -> list[dict[str, Any]]:
    try:
        connection = await engine.connect(dsn, name="mailboat-archive")
    except engine.AWAY as error:
        raise MailboatError(
            f"No database ({error or type(error).__name__}): set DATABASE_URL, or give --data."
        ) from None
    try:
        found = await months.months(connection, before)
        if folder is None or dry_run:
            return [_row(month, _prospect(month)) for month in found]
        return [await _one(connection, month, folder, keep) for month in found]
    except (*engine.AWAY, asyncpg.PostgresError) as error:
        raise MailboatError(f"The archive stopped ({error or type(error).__name__}): run it again.") from None
    finally:
        await connection.close(timeout=5)


async def _one(connection: asyncpg.Connection, month: months.Month, folder: Path, keep: bool) -> dict[str, Any]:
    if month.waiting:
        return _row(month, _prospect(month))
    with output.progress(f"Archiving {month.name}", month.messages) as told:
        written = await months.write(connection, month, folder, told)
    files = [str(path) for path in written.paths]
    if keep:
        return _row(written.month, "written", files)
    try:
        await months.drop(connection, written)
    except months.Changed as changed:
        return _row(written.month, f"left: {changed}", files)
    return _row(written.month, "archived", files)


def _prospect(month: months.Month) -> str:
    return f"left: {month.waiting} have yet to be sent" if month.waiting else "would be archived"


def _row(month: months.Month, outcome: str, files: list[str] | None = None) -> dict[str, Any]:
    return {"month": month.name, "messages": month.messages, "outcome": outcome, "files": files or []}
