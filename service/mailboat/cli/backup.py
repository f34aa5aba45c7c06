"""`mailboat backup` and `mailboat restore`: the whole installation in one file, and back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from mailboat.cli import database, output
from mailboat.db import backup as backups
from mailboat.db.backup import Manifest, Opened
from mailboat.declare import reseal
from mailboat.declare.seal import Sealer
from mailboat.errors import MailboatError
from mailboat.settings import Settings

KEY_IS_NOT_IN_IT = (
    "The sealing key is not in it: keep MAILBOAT_SEALING_KEY (with `mailboat up`: {key}) in another place."
)

_OUTPUT = click.option("--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--templates", type=click.Path(path_type=Path), help="Folder with templates.  [default: as `mailboat up`]"
)
@click.option("--force", is_flag=True, help="Replace the file, if it is there.")
@_OUTPUT
@database.DATA
def backup(file: Path, templates: Path | None, force: bool, form: str, data: Path) -> None:
    """Write clients, keys, mail, events, templates and all the rest to one FILE.

    It is the state of one moment, while everybody goes on working. Sealed secrets are in it as they are; the sealing
    key never is. FILE gets mode 0600, for it holds mail.
    """
    if file.exists() and not force:
        raise MailboatError(f"{file} is there already: choose another name, or --force.")
    manifest = asyncio.run(_backup(file, templates, data.expanduser().resolve()))
    output.show({"file": str(file), "bytes": file.stat().st_size, **_summary(manifest)}, form)
    click.echo(KEY_IS_NOT_IN_IT.format(key=data / "sealing-key"), err=True)


async def _backup(file: Path, templates: Path | None, data: Path) -> Manifest:
    async with database.reached(data) as chosen, database.connection(chosen, "mailboat-backup") as connection:
        source = _templates(chosen, templates, data)
        try:
            rows = await backups.size(connection)
            with output.progress("Writing", rows) as told:
                return await backups.write(connection, file, source, told)
        except OSError as error:
            raise MailboatError(f"{file} cannot be written: {error.strerror or error}.") from None


def _templates(chosen: Settings, asked: Path | None, data: Path) -> Path | None:
    """The folder asked for, else that of the settings, else that of the data folder; None where there is none."""
    if asked is not None and not asked.is_dir():
        raise MailboatError(f"--templates {asked}: there is no such folder.")
    return asked or next((place for place in (Path(chosen.templates), data / "templates") if place.is_dir()), None)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--templates",
    type=click.Path(path_type=Path),
    help="Where the templates go.  [default: DATA/templates; with DATABASE_URL nowhere]",
)
@click.option("--force", is_flag=True, help="Replace what is in the database and in the folder of templates.")
@click.option(
    "--hold",
    is_flag=True,
    help="Hold the mail that was due when the backup was taken, for it may have been sent since.",
)
@_OUTPUT
@database.DATA
def restore(file: Path, templates: Path | None, force: bool, hold: bool, form: str, data: Path) -> None:
    """Put everything back as it was when the backup FILE was taken.

    Every part of Mailboat has to be stopped. An interrupted run is simply begun again. A backup of an older Mailboat
    is migrated. Give the sealing key that belongs to it: MAILBOAT_SEALING_KEY, or DATA/sealing-key.
    """
    with _opened(file) as opened:
        answer, lost = asyncio.run(_restore(opened, templates, data.expanduser().resolve(), force=force, hold=hold))
    output.show(answer, form)
    if lost:
        raise MailboatError("\n".join(["All is back, but these secrets cannot be read:", *lost]))


def _opened(file: Path) -> Opened:
    try:
        return backups.opened(file)
    except OSError as error:
        raise MailboatError(f"{file} cannot be read: {error.strerror}.") from None


async def _restore(
    opened: Opened, templates: Path | None, data: Path, *, force: bool, hold: bool
) -> tuple[dict[str, Any], list[str]]:
    own = database.is_typed() or not os.environ.get("DATABASE_URL")
    place = templates or (data / "templates" if own else None)
    if place and not force and place.is_dir() and any(place.iterdir()):
        raise MailboatError(f"{place} is not empty: name another folder with --templates, or replace all with --force.")
    async with database.reached(data, make=True) as chosen:
        async with database.connection(chosen, "mailboat-restore") as connection:
            with output.progress("Restoring", opened.octets) as told:
                done = await backups.restore(connection, chosen.database_url, opened, told, force=force, hold=hold)
            lost = (await reseal.look(connection, Sealer(chosen.sealing_key))).lost
        written = _write_templates(opened, place) if place else 0
    return {**_summary(done.manifest), "held": done.held, "templates": written}, lost


def _write_templates(opened: Opened, place: Path) -> int:
    files = list(opened.templates())
    try:
        for name, content in files:
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        raise MailboatError(f"The database is restored; the templates cannot be written to {place}: {error}.") from None
    return len(files)


def _summary(manifest: Manifest) -> dict[str, Any]:
    rows = {name: table.rows for name, table in manifest.tables.items()}
    return {
        "taken_at": manifest.taken_at.isoformat(),
        "mailboat": manifest.mailboat,
        "schema": manifest.schema,
        "clients": rows.get("clients", 0),
        "messages": rows.get("messages", 0),
        "rows": sum(rows.values()),
    }
