"""One place for all kinds: what `mailboat apply` and the operator call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import asyncpg

from mailboat.declare import reseal, store
from mailboat.declare.clients import Clients
from mailboat.declare.inputs import Inputs
from mailboat.declare.outcome import Outcome
from mailboat.declare.providers import Providers
from mailboat.declare.seal import Sealer
from mailboat.declare.templates import Templates
from mailboat.errors import ConfigurationError
from mailboat.providers import records
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.render.base import Renderer
from mailboat_crds.models import EmailClient, EmailProviderStatus, EmailTemplate, Resource

FIXED = ("inbox", "smtp")
"""Providers that the settings of workers may have."""


class Declarer:
    """Idempotent and level-triggered: the same resource again changes nothing, whatever happened in between.

    url: how applications reach the API.  actor: who stands in the audit.  fixed: the providers of the settings, which a
    route may name.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        renderer: Renderer,
        sealer: Sealer,
        *,
        url: str,
        actor: str,
        templates: str = "",
        fixed: Collection[str] = FIXED,
    ) -> None:
        self._pool, self._sealer = pool, sealer
        self._clients = Clients(pool, sealer, url, actor, fixed)
        self._templates = Templates(pool, Catalog(Folder(templates), pool), renderer)
        self._providers = Providers(pool, sealer)

    async def apply(
        self, resource: Resource, inputs: Inputs, held: Mapping[str, str] | None = None, now: datetime | None = None
    ) -> Outcome:
        """Bring Postgres in line with a resource.

        `inputs` are the Secrets and ConfigMaps of its namespace that it refers to (`inputs.secrets_of`), `held` is what
        a client's own Secret holds (None: it is not there). When `Outcome.secret` is not None, it has to be put there.
        Faults of the resource end in its conditions. Raises what `engine.AWAY` names, and ConfigurationError without
        a sealing key.
        """
        if isinstance(resource, EmailClient):
            return await self._clients.apply(resource, inputs, held, now)
        if isinstance(resource, EmailTemplate):
            return await self._templates.apply(resource, inputs, now)
        return await self._providers.apply(resource, inputs, now)

    async def follow_circuit(self, namespace: str, name: str) -> EmailProviderStatus | None:
        """The status of a provider whose circuit has changed; None when it was never declared. Raises what
        `engine.AWAY` names."""
        return await self._providers.follow_circuit(namespace, name)

    async def delete(self, kind: str, namespace: str, name: str, policy: str = "Retain") -> bool:
        """Take a resource back; `policy` is a client's spec.deletionPolicy. True when there was one."""
        if kind == "EmailClient":
            return await self._clients.delete(namespace, name, policy)
        if kind == "EmailTemplate":
            return await self._templates.delete(namespace, name)
        return await self._providers.delete(namespace, name)

    async def remembered(self, kind: str, namespace: str, name: str) -> Inputs:
        """The Secrets that the resource was applied with last: without Kubernetes nobody else keeps them."""
        if kind == "EmailProvider":
            sealed = await self._pool.fetchval(
                "select sealed from providers where namespace = $1 and name = $2", namespace, name
            )
            return Inputs(self._sealer.open(sealed, records.place(namespace, name)))
        stored = await store.load(self._pool, kind, namespace, name)
        sealed = stored.sealed if stored else None
        return Inputs(self._sealer.open(sealed, f"{kind} {namespace}/{name}"))

    async def reseal(self) -> int:
        """Seal with the first key what is sealed with another; how much that was. Raises ConfigurationError."""
        done = await reseal.reseal(self._pool, self._sealer)
        if done.lost:
            raise ConfigurationError(done.lost[0])
        return done.stale
