"""`mailboat key`: a client's keys. A secret is shown once, when it is made."""

from __future__ import annotations

import click

from mailboat.cli import output
from mailboat.cli.connection import Session
from mailboat.cli.options import Identity, connected, identity, seconds

COLUMNS = ("key", "state", "created_at", "expires_at", "revoked_at")


@click.group()
def key() -> None:
    """Make, list, rotate and revoke a client's keys."""


@key.command("create")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT")
@click.option("--expires", type=seconds, metavar="DURATION", help="How long it works.  [default: without end]")
@connected("admin")
def create(place: Identity, expires: int | None, session: Session, form: str) -> None:
    """Make a key. Its secret is shown now and never again."""
    output.show(session.admin().post(f"{place.path}/keys", {"expires_in_seconds": expires}), form)


@key.command("list")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT")
@connected("admin")
def list_(place: Identity, session: Session, form: str) -> None:
    """Show a client's keys, without their secrets."""
    output.show(session.admin().get(f"{place.path}/keys"), form, COLUMNS)


@key.command("rotate")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT")
@click.option(
    "--overlap",
    type=seconds,
    metavar="DURATION",
    default="24h",
    show_default=True,
    help="How long the old keys still work.",
)
@connected("admin")
def rotate(place: Identity, overlap: int, session: Session, form: str) -> None:
    """Make a new key; the old ones end after the overlap."""
    output.show(session.admin().post(f"{place.path}/keys/rotate", {"overlap_seconds": overlap}), form)


@key.command("revoke")
@click.argument("place", type=identity, metavar="[NAMESPACE/]CLIENT")
@click.argument("name", metavar="KEY")
@connected("admin")
def revoke(place: Identity, name: str, session: Session, form: str) -> None:
    """End a key at once."""
    output.show(session.admin().post(f"{place.path}/keys/{name}/revoke"), form)
