"""`mailboat diff`: what applying manifests would change."""

from __future__ import annotations

import difflib
from typing import Any

import click

from mailboat.cli import output
from mailboat.cli.apply import read
from mailboat.cli.declared import Records, files, namespaced, output_form, qualified, with_records
from mailboat.cli.get import as_yaml
from mailboat.declare import store
from mailboat_crds import check
from mailboat_crds.models import Resource, kind_of


@click.command()
@files
@namespaced
@output_form
@with_records
async def diff(paths: tuple[str, ...], namespace: str | None, form: str, records: Records) -> int:
    """Show what `mailboat apply` would change. Exit code 1: there are differences."""
    rows = []
    for resource in read(paths, namespace).resources:
        kind, space, name = kind_of(resource), resource.metadata.namespace, resource.metadata.name
        before = await store.load(records.pool, kind, space, name)
        lines = difference(before.manifest() if before else None, resource)
        rows.append({"kind": kind, "namespace": space, "name": name, "diff": lines})
        for line in lines if form == "table" else ():
            click.echo(line)
    if form == "json":
        output.show(rows, form)
    return int(any(row["diff"] for row in rows))


def difference(before: dict[str, Any] | None, resource: Resource) -> list[str]:
    """A unified diff of what people write: labels, annotations and spec."""
    after = check.manifest(resource)
    name = qualified(kind_of(resource), resource.metadata.name)
    old, new = (as_yaml(_meant(one)).splitlines() if one else [] for one in (before, after))
    return list(difflib.unified_diff(old, new, f"{name} (live)", f"{name} (manifest)", lineterm=""))


def _meant(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: manifest["metadata"].get(name) for name in ("name", "namespace", "labels", "annotations")}
    return {"kind": manifest["kind"], "metadata": {n: v for n, v in metadata.items() if v}, "spec": manifest["spec"]}
