"""`mailboat template history` and `rollback`: what a template's name has stood for, and how to go back."""

from __future__ import annotations

import click

from mailboat.cli import options, output
from mailboat.cli.declared import ACTOR, Records, with_records
from mailboat.errors import MailboatError
from mailboat.registry import history as heads

SHOWN = 12  # digits of a revision
LIVE = {True: "live", False: ""}
_NAMESPACE = click.option("-n", "--namespace", default="default", show_default=True)


@click.command()
@click.argument("name")
@_NAMESPACE
@options.OUTPUT
@with_records
async def history(name: str, namespace: str, form: str, records: Records) -> None:
    """The revisions that a template's name has stood for, the newest first."""
    entries = await heads.of(records.pool, namespace, name)
    if not entries:
        raise MailboatError(f"There is no template {name!r} in namespace {namespace}.")
    rows = [
        {
            "revision": each.digest[:SHOWN],
            "origin": each.origin,
            "since": f"{each.at:%Y-%m-%dT%H:%M:%SZ}",
            "live": each.live,
        }
        for each in entries
    ]
    if form == "table":
        rows = [row | {"live": LIVE[bool(row["live"])]} for row in rows]
    output.show(rows, form, ["revision", "origin", "since", "live"])


@click.command()
@click.argument("name")
@click.argument("revision", required=False)
@_NAMESPACE
@with_records
async def rollback(name: str, revision: str | None, namespace: str, records: Records) -> None:
    """Let a template be an earlier REVISION again; without one, that before the live one.

    It stays until the template's source changes. Messages that were accepted keep the revision they have.
    """
    before, after = await heads.roll_back(records.pool, namespace, name, revision, ACTOR)
    if before == after:
        click.echo(f"{name} is revision {after[:SHOWN]} already.")
    else:
        click.echo(f"{name} is revision {after[:SHOWN]} again, no longer {before[:SHOWN]}.")
