"""`mailboat export`: manifests for a cluster, from what is declared here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import click

from mailboat.cli.declared import Records, namespaced, with_records
from mailboat.cli.get import as_yaml
from mailboat.declare import store
from mailboat.declare.inputs import secrets_of
from mailboat.declare.manifests import ORDER
from mailboat.declare.store import Stored
from mailboat.declare.templates import ENTRIES
from mailboat.domain import revision
from mailboat_crds import check

PLACEHOLDER = "REPLACE-ME"


@click.command()
@namespaced
@click.option("--secrets", "reveal", is_flag=True, help="Write secrets in the clear; else placeholders stand for them.")
@with_records
async def export(namespace: str | None, reveal: bool, records: Records) -> int:
    """Print everything that is declared, as manifests for `kubectl apply --server-side -f -`."""
    parts = [part async for part in manifests(records, namespace, reveal)]
    click.echo("\n---\n".join(as_yaml(part) for part in parts))
    if not reveal and any(part["kind"] == "Secret" for part in parts):
        click.echo(f"Fill in {PLACEHOLDER} in the Secrets, or use --secrets.", err=True)
    return 0


async def manifests(records: Records, namespace: str | None, reveal: bool) -> AsyncIterator[dict[str, Any]]:
    """Each Secret and ConfigMap once, and before what refers to it."""
    done: set[tuple[str, str, str]] = set()
    for kind in ORDER:
        for stored in await store.find(records.pool, kind, namespace):
            for part in await _beside(records, stored, reveal):
                key = (part["kind"], part["metadata"]["namespace"], part["metadata"]["name"])
                if key not in done:
                    done.add(key)
                    yield part
            yield _bare(stored)


def _bare(stored: Stored) -> dict[str, Any]:
    """Without what belongs to this installation alone."""
    manifest = stored.manifest()
    own = ("generation", "creationTimestamp", "uid")
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in own}
    return {name: manifest[name] for name in ("apiVersion", "kind")} | {"metadata": metadata, "spec": manifest["spec"]}


async def _beside(records: Records, stored: Stored, reveal: bool) -> list[dict[str, Any]]:
    """The Secrets and ConfigMaps that a resource refers to."""
    resource = check.resource(stored.manifest() | {"status": {}})
    known = (await records.declarer.remembered(stored.kind, stored.namespace, stored.name)).secrets
    found = [_secret(stored.namespace, name, known.get(name, {}), reveal) for name in secrets_of(resource)]
    reference = stored.spec.get("sourceRef")
    if reference and (text := await _entry(records, stored)) is not None:
        found.append(_contents("ConfigMap", stored.namespace, reference["name"], "data", {reference["key"]: text}))
    if reveal and stored.kind == "EmailClient":
        name = stored.spec["credentials"]["secretName"]
        if (held := records.held(stored.namespace, name)) is not None:
            found.append(_secret(stored.namespace, name, held, reveal))
    return found


def _secret(namespace: str, name: str, values: Mapping[str, str], reveal: bool) -> dict[str, Any]:
    shown = dict(values) if reveal else dict.fromkeys(values, PLACEHOLDER)
    return _contents("Secret", namespace, name, "stringData", shown)


def _contents(kind: str, namespace: str, name: str, field: str, values: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, field: values}


async def _entry(records: Records, stored: Stored) -> str | None:
    """The text that a ConfigMap held when it was last good."""
    body = await records.pool.fetchval("select body from template_sources where digest = $1", stored.status.digest)
    return revision.decode(body.encode()).files[ENTRIES[stored.spec["engine"]]] if body else None
