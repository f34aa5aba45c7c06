"""The table `declared`: every resource as it was applied last."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import msgspec

from mailboat_crds.check import manifest
from mailboat_crds.models import KINDS, Resource, Status, kind_of

TOOLS = ("kubectl.kubernetes.io/", "kopf.zalando.org/")

_LOAD = "select * from declared where kind = $1 and namespace = $2 and name = $3"
_ALL = """
select * from declared where kind = $1 and ($2::text is null or namespace = $2) and ($3::text is null or name = $3)
order by namespace, name
"""
_SAVE = """
insert into declared (kind, namespace, name, generation, digest, metadata, spec, status, sealed)
values ($1, $2, $3, $4, $5, $6::json, $7::json, $8::json, $9)
on conflict (kind, namespace, name) do update
set generation = excluded.generation, digest = excluded.digest, metadata = excluded.metadata, spec = excluded.spec,
    status = excluded.status, sealed = excluded.sealed, applied_at = now()
"""
_SAVE_STATUS = """
update declared set status = $5::json
where kind = $1 and namespace = $2 and name = $3 and applied_at = $4
"""
_REMOVE = "delete from declared where kind = $1 and namespace = $2 and name = $3"
_LOCK = "select pg_advisory_xact_lock(hashtextextended($1, 0))"

Connection: TypeAlias = asyncpg.Connection | asyncpg.Pool


class Stored(msgspec.Struct, frozen=True):
    """A row of `declared`."""

    kind: str
    namespace: str
    name: str
    generation: int
    digest: str
    metadata: dict[str, Any]
    spec: dict[str, Any]
    status: Any  # the kind's own
    sealed: bytes | None
    created_at: datetime
    applied_at: datetime

    def manifest(self) -> dict[str, Any]:
        """As the author would write it, with its status."""
        metadata = {"name": self.name, "namespace": self.namespace, **self.metadata}
        metadata |= {"generation": self.generation, "creationTimestamp": self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return {
            "apiVersion": "mailboat.dev/v1alpha1",
            "kind": self.kind,
            "metadata": metadata,
            "spec": self.spec,
            "status": msgspec.json.decode(msgspec.json.encode(self.status)),
        }


async def lock(connection: asyncpg.Connection, resource: Resource) -> None:
    """Be the only one at this resource until the transaction ends."""
    await connection.execute(_LOCK, f"{kind_of(resource)}/{resource.metadata.namespace}/{resource.metadata.name}")


async def load(connection: Connection, kind: str, namespace: str, name: str) -> Stored | None:
    row = await connection.fetchrow(_LOAD, kind, namespace, name)
    return _stored(row) if row else None


async def find(connection: Connection, kind: str, namespace: str | None, name: str | None = None) -> list[Stored]:
    """Those of a kind, by namespace and name; None is any."""
    return [_stored(row) for row in await connection.fetch(_ALL, kind, namespace, name)]


async def save(
    connection: Connection,
    resource: Resource,
    *,
    generation: int,
    digest: str,
    status: Status,
    sealed: bytes | None = None,
    before: Stored | None = None,
) -> None:
    """`before` is the row that is there; nothing is written when it says all of this already."""
    metadata: dict[str, Any] = {"labels": resource.metadata.labels, "annotations": own_annotations(resource)}
    metadata = {name: entries for name, entries in metadata.items() if entries}
    if resource.metadata.uid:  # an API server's: the operator removes what that no longer has
        metadata["uid"] = resource.metadata.uid
    if before is not None and (before.generation, before.digest, before.metadata, before.status) == (
        generation,
        digest,
        metadata,
        status,
    ):
        return
    place = (kind_of(resource), resource.metadata.namespace, resource.metadata.name)
    await connection.execute(
        _SAVE, *place, generation, digest, _json(metadata), _json(manifest(resource)["spec"]), _json(status), sealed
    )


async def save_status(connection: Connection, before: Stored, status: Status) -> None:
    """Of a row that has not been applied again since it was read."""
    if status != before.status:
        place = (before.kind, before.namespace, before.name)
        await connection.execute(_SAVE_STATUS, *place, before.applied_at, _json(status))


async def remove(connection: Connection, kind: str, namespace: str, name: str) -> bool:
    """True when it was there."""
    return bool(await connection.execute(_REMOVE, kind, namespace, name) != "DELETE 0")


def digest(resource: Resource, *inputs: str) -> str:
    """Of all that makes a resource what it is: metadata that means something, spec, and what it refers to."""
    parts = [resource.metadata.labels, own_annotations(resource), resource.spec, inputs]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def own_annotations(resource: Resource) -> dict[str, str]:
    """Those that people set; tools keep whole copies of the resource in theirs."""
    return {name: text for name, text in resource.metadata.annotations.items() if not name.startswith(TOOLS)}


def generation(resource: Resource, before: Stored | None) -> int:
    """Kubernetes' own; without Kubernetes it counts the changes of the spec, as Kubernetes does."""
    if resource.metadata.generation is not None:
        return resource.metadata.generation
    if before is None:
        return 1
    return before.generation + int(manifest(resource)["spec"] != before.spec)


def _stored(row: asyncpg.Record) -> Stored:
    columns = dict(row)
    for column in ("metadata", "spec"):
        columns[column] = msgspec.json.decode(columns[column])
    columns["status"] = msgspec.json.decode(columns["status"], type=KINDS[row["kind"]].status)
    return Stored(**columns)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
