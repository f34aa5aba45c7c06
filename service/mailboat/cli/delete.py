"""`mailboat delete`: take resources back."""

from __future__ import annotations

import click

from mailboat.cli import declared, output
from mailboat.cli.apply import read
from mailboat.cli.declared import Records, namespaced, output_form, qualified, with_records
from mailboat.cli.get import nothing
from mailboat.declare import store
from mailboat.declare.store import Stored
from mailboat.errors import MailboatError
from mailboat_crds.models import KINDS, kind_of


@click.command()
@click.argument("what", required=False, metavar="[emc|emt|emp]")
@click.argument("name", required=False)
@click.option("-f", "--filename", "paths", multiple=True, metavar="PATH", help="Delete what these manifests name.")
@namespaced
@output_form
@with_records
async def delete(
    what: str | None, name: str | None, paths: tuple[str, ...], namespace: str | None, form: str, records: Records
) -> int:
    """Delete a resource, or those that manifests name. A client's deletionPolicy says what is kept of it."""
    if bool(paths) == bool(what and name):
        raise click.UsageError("Name a kind and a resource, or manifests with -f.")
    gone = []
    for kind, space, known in _wanted(what, name, paths, namespace):
        found = await store.find(records.pool, kind, space, known)
        if not found and not paths:
            raise MailboatError(nothing(KINDS[kind], known, namespace))
        for stored in found:
            await _delete(records, stored)
            gone.append({"kind": stored.kind, "namespace": stored.namespace, "name": stored.name, "change": "deleted"})
            if form == "table":
                click.echo(f"{qualified(stored.kind, stored.name)} deleted")
    if form == "json":
        output.show(gone, form)
    return 0


def _wanted(
    what: str | None, name: str | None, paths: tuple[str, ...], namespace: str | None
) -> list[tuple[str, str | None, str]]:
    """Kind, namespace (None: any) and name; clients go first, before what they refer to."""
    if what and name:
        return [(declared.kind(what).name, namespace, name)]
    resources = reversed(read(paths, namespace).resources)
    return [(kind_of(one), one.metadata.namespace, one.metadata.name) for one in resources]


async def _delete(records: Records, stored: Stored) -> None:
    policy = stored.spec.get("deletionPolicy", "Retain")
    await records.declarer.delete(stored.kind, stored.namespace, stored.name, policy)
    if stored.kind == "EmailClient":
        records.secret_path(stored.namespace, stored.spec["credentials"]["secretName"]).unlink(missing_ok=True)
