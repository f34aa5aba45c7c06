"""`mailboat describe`: one resource for people."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import click

from mailboat.cli import declared, output
from mailboat.cli.declared import Records, namespaced, output_form, with_records
from mailboat.cli.get import as_yaml, nothing, written
from mailboat.declare import store
from mailboat.errors import MailboatError

CONDITION = ("type", "status", "reason", "lastTransitionTime", "message")


@click.command()
@click.argument("what", metavar="emc|emt|emp")
@click.argument("name")
@namespaced
@output_form
@with_records
async def describe(what: str, name: str, namespace: str | None, form: str, records: Records) -> int:
    """Show one resource with its conditions."""
    kind = declared.kind(what)
    found = await store.find(records.pool, kind.name, namespace, name)
    if not found:
        raise MailboatError(nothing(kind, name, namespace))
    manifests = [stored.manifest() for stored in found]
    click.echo(written(manifests, form, one=True) if form == "json" else "\n\n".join(map(page, manifests)))
    return 0


def page(manifest: dict[str, Any]) -> str:
    metadata, status = manifest["metadata"], dict(manifest["status"])
    found = status.pop("conditions", [])
    head = {"Name": metadata["name"], "Namespace": metadata["namespace"], "Kind": manifest["kind"]}
    head |= {"Labels": metadata.get("labels"), "Annotations": metadata.get("annotations")}
    head |= {"Created": metadata["creationTimestamp"], "Generation": metadata["generation"]}
    parts = [output.listing(head), "Spec\n" + indent(as_yaml(manifest["spec"]), "  ")]
    if status:
        parts.append("Status\n" + indent(as_yaml(status), "  "))
    parts.append("Conditions\n" + indent(output.table(found, CONDITION), "  "))
    return "\n\n".join(parts)
