"""`mailboat apply`: manifests into the database, without Kubernetes."""

from __future__ import annotations

from typing import Any

import click

from mailboat.cli import declared, output
from mailboat.cli.declared import Records, files, namespaced, output_form, qualified, with_records
from mailboat.declare import manifests, store
from mailboat.declare.inputs import Inputs, config_maps_of, secrets_of
from mailboat.declare.manifests import Found
from mailboat.declare.outcome import Outcome
from mailboat.domain import leg
from mailboat.errors import MailboatError
from mailboat_crds import check
from mailboat_crds.check import Invalid
from mailboat_crds.conditions import READY, ROUTE_INCOMPLETE, STALLED
from mailboat_crds.models import KINDS, EmailClient, EmailProvider, Resource, kind_of

CONDITION = ("type", "status", "reason", "message")


@click.command()
@files
@namespaced
@output_form
@with_records
async def apply(paths: tuple[str, ...], namespace: str | None, form: str, records: Records) -> int:
    """Make EmailProviders, EmailTemplates and EmailClients what these manifests say.

    All of them are checked before the first is applied. Secrets and ConfigMaps that they refer to are read from
    manifests beside them. The credentials of a client are written to DATA/secrets/NAMESPACE/SECRETNAME.json.
    """
    found = read(paths, namespace)
    for line in found.left_out:
        click.echo(line, err=True)
    await check_changes(records, found)
    await records.declarer.reseal()
    done = []
    for resource in [*found.resources, *await affected(records, found)]:
        outcome = await apply_one(records, resource, found)
        done.append((resource, outcome))
        if form == "table":
            tell(resource, outcome)
    if form == "json":
        output.show([row(*one) for one in done], form)
    return int(any(one.type == STALLED for _, outcome in done for one in outcome.status.conditions))


def tell(resource: Resource, outcome: Outcome) -> None:
    """What came of it, in a line; what is to be seen to, on stderr."""
    name = qualified(kind_of(resource), resource.metadata.name)
    click.echo(f"{name} {outcome.change}")
    ready = next((one for one in outcome.status.conditions if one.type == READY), None)
    if ready is not None and ready.status != "True":
        click.echo(f"{name}: {ready.reason}: {ready.message}", err=True)
    for one in outcome.status.conditions:
        if one.type == ROUTE_INCOMPLETE:
            click.echo(f"{name}: warning: {one.message}", err=True)


def row(resource: Resource, outcome: Outcome) -> dict[str, Any]:
    """The same for programs."""
    conditions = [{name: getattr(one, name) for name in CONDITION} for one in outcome.status.conditions]
    place = {"namespace": resource.metadata.namespace, "name": resource.metadata.name}
    return {"kind": kind_of(resource), **place, "change": outcome.change, "conditions": conditions}


def read(paths: tuple[str, ...], namespace: str | None) -> Found:
    """The manifests, every one of them sound. Raises Faulty."""
    documents = manifests.read(paths, declared.stdin_of(paths))
    return manifests.understand(documents, declared.check_namespace(namespace))


async def check_changes(records: Records, found: Found) -> None:
    """Raises MailboatError for a change that is not allowed, before anything is changed."""
    faults = []
    for resource in found.resources:
        kind, namespace, name = kind_of(resource), resource.metadata.namespace, resource.metadata.name
        before = await store.load(records.pool, kind, namespace, name)
        try:
            check.resource(check.manifest(resource), before.spec if before else None)
        except Invalid as invalid:
            faults += [f"{qualified(kind, name)} in {namespace}: {fault}" for fault in invalid.faults]
    if faults:
        raise MailboatError("\n".join(faults))


async def affected(records: Records, found: Found) -> list[Resource]:
    """Resources applied before that refer to a Secret, ConfigMap or EmailProvider which these manifests bring."""
    given = {(kind_of(one), one.metadata.namespace, one.metadata.name) for one in found.resources}
    touched = [one for one in await _rerouted(records, found) if (kind_of(one), *_place(one)) not in given]
    for namespace, inputs in found.inputs.items():
        for kind in KINDS:
            for stored in await store.find(records.pool, kind, namespace):
                resource = check.resource(stored.manifest() | {"status": {}})
                names = {*secrets_of(resource)} & {*inputs.secrets} | {*config_maps_of(resource)} & {
                    *inputs.config_maps
                }
                if names and (kind, namespace, stored.name) not in given and resource not in touched:
                    touched.append(resource)
    return touched


async def _rerouted(records: Records, found: Found) -> list[Resource]:
    """Clients that a provider of these manifests was missing for."""
    brought = {one.metadata.name for one in found.resources if isinstance(one, EmailProvider)}
    if not brought:
        return []
    return [
        check.resource(stored.manifest() | {"status": {}})
        for stored in await store.find(records.pool, "EmailClient", None)
        if any(one.type == ROUTE_INCOMPLETE for one in stored.status.conditions)
        and brought & set(leg.names(stored.spec.get("route", ())))
    ]


def _place(resource: Resource) -> tuple[str, str]:
    return resource.metadata.namespace, resource.metadata.name


async def apply_one(records: Records, resource: Resource, found: Found) -> Outcome:
    """Apply, and write the credentials."""
    kind, namespace, name = kind_of(resource), resource.metadata.namespace, resource.metadata.name
    given = found.inputs.get(namespace, Inputs())
    known = await records.declarer.remembered(kind, namespace, name)
    inputs = Inputs({**known.secrets, **given.secrets}, given.config_maps)
    held = None
    if isinstance(resource, EmailClient):
        held = records.held(namespace, resource.spec.credentials.secret_name)
    outcome = await records.declarer.apply(resource, inputs, held)
    if outcome.secret is not None and isinstance(resource, EmailClient):
        records.write_secret(namespace, resource.spec.credentials.secret_name, outcome.secret)
    return outcome
