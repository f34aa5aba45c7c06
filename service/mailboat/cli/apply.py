"""`mailboat apply`: manifests into the database, without Kubernetes."""

from __future__ import annotations

import click

from mailboat.cli import declared
from mailboat.cli.declared import Records, files, namespaced, qualified, with_records
from mailboat.declare import manifests, store
from mailboat.declare.inputs import Inputs, config_maps_of, secrets_of
from mailboat.declare.manifests import Found
from mailboat.declare.outcome import Outcome
from mailboat.errors import MailboatError
from mailboat_crds import check
from mailboat_crds.check import Invalid
from mailboat_crds.conditions import READY, STALLED
from mailboat_crds.models import KINDS, EmailClient, Resource, kind_of


@click.command()
@files
@namespaced
@with_records
async def apply(paths: tuple[str, ...], namespace: str | None, records: Records) -> int:
    """Make EmailProviders, EmailTemplates and EmailClients what these manifests say.

    All of them are checked before the first is applied. Secrets and ConfigMaps that they refer to are read from
    manifests beside them. The credentials of a client are written to DATA/secrets/NAMESPACE/SECRETNAME.json.
    """
    found = read(paths, namespace)
    for line in found.left_out:
        click.echo(line, err=True)
    await check_changes(records, found)
    await records.declarer.reseal()
    stalled = False
    for resource in [*found.resources, *await affected(records, found)]:
        outcome = await apply_one(records, resource, found)
        stalled |= any(condition.type == STALLED for condition in outcome.status.conditions)
    return int(stalled)


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
    """Resources applied before that refer to a Secret or ConfigMap which these manifests bring."""
    given = {(kind_of(one), one.metadata.namespace, one.metadata.name) for one in found.resources}
    touched: list[Resource] = []
    for namespace, inputs in found.inputs.items():
        for kind in KINDS:
            for stored in await store.find(records.pool, kind, namespace):
                resource = check.resource(stored.manifest() | {"status": {}})
                names = {*secrets_of(resource)} & {*inputs.secrets} | {*config_maps_of(resource)} & {
                    *inputs.config_maps
                }
                if names and (kind, namespace, stored.name) not in given:
                    touched.append(resource)
    return touched


async def apply_one(records: Records, resource: Resource, found: Found) -> Outcome:
    """Apply, write the credentials, and say what came of it in one line."""
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
    click.echo(f"{qualified(kind, name)} {outcome.change}")
    ready = next((one for one in outcome.status.conditions if one.type == READY), None)
    if ready is not None and ready.status != "True":
        click.echo(f"{qualified(kind, name)}: {ready.reason}: {ready.message}", err=True)
    return outcome
