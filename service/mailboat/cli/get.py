"""`mailboat get`: resources as a table, or as they are."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import click
import yaml

from mailboat.cli import declared, output
from mailboat.cli.declared import Records, namespaced, with_records
from mailboat.declare import store
from mailboat.declare.store import Stored
from mailboat.errors import MailboatError
from mailboat_crds.models import Column, Kind

_CONDITION = re.compile(r'\.status\.conditions\[\?\(@\.type=="(?P<type>\w+)"\)\]\.(?P<field>\w+)')
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


@click.command()
@click.argument("what", metavar="emc|emt|emp|all")
@click.argument("name", required=False)
@namespaced
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", show_default=True
)
@with_records
async def get(what: str, name: str | None, namespace: str | None, form: str, records: Records) -> int:
    """Show resources that were applied: EmailClients (emc), EmailTemplates (emt), EmailProviders (emp)."""
    kinds = declared.kinds(what)
    found = {kind.name: await store.find(records.pool, kind.name, namespace, name) for kind in kinds}
    if name is not None and not any(found.values()):
        raise MailboatError(nothing(kinds[0], name, namespace))
    if form in ("json", "yaml"):
        click.echo(written([stored.manifest() for listed in found.values() for stored in listed], form, one=bool(name)))
        return 0
    tables = [table(kind, found[kind.name], wide=form == "wide") for kind in kinds if found[kind.name]]
    click.echo("\n\n".join(tables) or "There are no resources: `mailboat apply -f PATH` makes some.")
    return 0


def nothing(kind: Kind, name: str, namespace: str | None) -> str:
    place = f" in namespace {namespace}" if namespace else ""
    return f"There is no {kind.name} {name!r}{place}: `mailboat get {kind.short}` shows those that there are."


def written(manifests: list[dict[str, Any]], form: str, *, one: bool = False) -> str:
    body: Any = {"apiVersion": "v1", "kind": "List", "items": manifests}
    if one and len(manifests) == 1:
        body = manifests[0]
    if form == "json":
        return json.dumps(body, indent=2, ensure_ascii=False)
    return as_yaml(body)


def as_yaml(body: Any) -> str:
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")


def table(kind: Kind, listed: list[Stored], *, wide: bool) -> str:
    """The printer columns of the kind, as kubectl shows them."""
    columns = [column for column in kind.columns if wide or not column.priority]
    lines = [["NAMESPACE", "NAME", *(column.name.upper() for column in columns)]]
    for stored in listed:
        manifest = stored.manifest()
        lines.append([stored.namespace, stored.name, *(cell(manifest, column) for column in columns)])
    return "\n".join(output.aligned(lines))


def cell(manifest: dict[str, Any], column: Column) -> str:
    value = value_at(manifest, column.path)
    if column.type == "date" and isinstance(value, str):
        return age((datetime.now(UTC) - datetime.fromisoformat(value)).total_seconds())
    return output.text(value)


def value_at(manifest: dict[str, Any], path: str) -> Any:
    """What a printer column's path leads to; None where it leads nowhere."""
    if (condition := _CONDITION.fullmatch(path)) is not None:
        for one in manifest["status"].get("conditions", ()):
            if one["type"] == condition["type"]:
                return one[condition["field"]]
        return None
    value: Any = manifest
    for name in path.split(".")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def age(seconds: float) -> str:
    """5s, 3m, 2h, 40d."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
