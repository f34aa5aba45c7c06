"""`mailboat key`: a client's keys. A secret is shown once, when it is made. And the installation's sealing key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from mailboat.cli import completion, output
from mailboat.cli.connection import Session
from mailboat.cli.noun import Noun
from mailboat.cli.options import Identity, connected, identity, overlapping, seconds
from mailboat.errors import MailboatError

COLUMNS = ("key", "state", "created_at", "expires_at", "revoked_at")


@click.group(cls=Noun)
def key() -> None:
    """Make, list, rotate and revoke a client's keys; seal all secrets with a new sealing key."""


@key.command("create")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT", shell_complete=completion.clients)
@click.option("--expires", type=seconds, metavar="DURATION", help="How long it works.  [default: without end]")
@connected("admin")
def create(place: Identity, expires: int | None, session: Session, form: str) -> None:
    """Make a key. Its secret is shown now and never again."""
    output.show(session.admin().post(f"{place.path}/keys", {"expires_in_seconds": expires}), form)


@key.command("list")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT", shell_complete=completion.clients)
@connected("admin")
def list_(place: Identity, session: Session, form: str) -> None:
    """Show a client's keys, without their secrets."""
    output.show(session.admin().get(f"{place.path}/keys"), form, COLUMNS)


@key.command("rotate")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT", shell_complete=completion.clients)
@overlapping("How long the old keys still work.")
@connected("admin")
def rotate(place: Identity, overlap: int, session: Session, form: str) -> None:
    """Make a new key; the old ones end after the overlap."""
    output.show(session.admin().post(f"{place.path}/keys/rotate", {"overlap_seconds": overlap}), form)


@key.command("revoke")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT", shell_complete=completion.clients)
@click.argument("name", metavar="KEY")
@connected("admin")
def revoke(place: Identity, name: str, session: Session, form: str) -> None:
    """End a key at once."""
    output.show(session.admin().post(f"{place.path}/keys/{name}/revoke"), form)


@key.command("reseal")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    help="Data folder of `mailboat up`; DATABASE_URL and MAILBOAT_SEALING_KEY name others.",
)
@click.option("--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def reseal(data: Path, form: str) -> None:
    """Seal every stored secret with the first key of MAILBOAT_SEALING_KEY.

    To change the sealing key: put the new one first (NEW,OLD), restart every part, run this, and take the old one out.
    The exit code is 1 when a secret cannot be read with any of the keys; the others are sealed nevertheless.
    """
    found, resealed, lost = asyncio.run(_reseal(data.expanduser().resolve()))
    output.show({"secrets": found, "resealed": resealed, "lost": len(lost)}, form)
    if lost:
        raise MailboatError("\n".join(["These secrets cannot be read, so keep the old keys:", *lost]))


async def _reseal(data: Path) -> Any:
    from mailboat.cli import database
    from mailboat.declare.reseal import reseal
    from mailboat.declare.seal import Sealer

    async with database.reached(data) as chosen, database.connection(chosen, "mailboat-reseal") as connection:
        sealer = Sealer(chosen.sealing_key)
        if not chosen.sealing_key:
            raise MailboatError("There is no sealing key: set MAILBOAT_SEALING_KEY, or name a data folder with --data.")
        return await reseal(connection, sealer)
