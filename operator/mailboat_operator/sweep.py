"""What is noticed without an event from our own kinds: drift and orphans, changed ConfigMaps and Secrets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import structlog

from mailboat.db import engine
from mailboat_crds.models import KINDS
from mailboat_operator.kube import Kube, KubeError
from mailboat_operator.reconcile.objects import Key, core, path_of, scopes
from mailboat_operator.reconcile.references import Reference
from mailboat_operator.reconciler import Reconciler
from mailboat_operator.records import Records

log = structlog.get_logger()
SECRETS_SECONDS = 5.0  # between two looks at the Secrets that are referred to
SECRETS_A_SECOND = 20.0  # the most that are looked at
CIRCUITS_SECONDS = 2.0
AGAIN_SECONDS = 2.0  # after a sweep that broke off
AWAY = (KubeError, *engine.AWAY, asyncpg.PostgresError)


class Sweep:
    """Whatever an operator could have missed. `namespaces`: those that are served; none is all of them."""

    def __init__(
        self, kube: Kube, records: Records, reconciler: Reconciler, namespaces: Sequence[str], seconds: float
    ) -> None:
        self._kube, self._records, self._reconciler = kube, records, reconciler
        self.namespaces = scopes(namespaces)
        self._seconds = seconds

    async def run(self) -> None:
        """For ever. kopf has reconciled everything at the start, so the first sweep looks for orphans alone."""
        first, pause = True, 1.0
        while True:
            await asyncio.sleep(pause)
            try:
                await self.sweep(orphans_only=first)
                first, pause = False, self._seconds * random.uniform(0.8, 1.0)
            except AWAY as error:
                log.warning("a sweep broke off", error=type(error).__name__)
                pause = min(self._seconds, AGAIN_SECONDS)

    async def sweep(self, *, orphans_only: bool = False) -> None:
        """Reconcile every object, then those that are gone and have records."""
        there: set[Key] = set()
        for kind in KINDS:
            for namespace in self.namespaces:
                async for metadata in self._kube.names(path_of(kind, namespace)):
                    there.add(Key(kind, metadata["namespace"], metadata["name"]))
        for key in sorted(there) if not orphans_only else ():
            await self._reconciler.reconcile(key)
        for key in await self._records.declared():
            served = None in self.namespaces or key.namespace in self.namespaces
            if served and key not in there:
                await self._reconciler.reconcile(key)

    async def follow_config_maps(self, namespace: str | None) -> None:
        """Reconcile what refers to a ConfigMap when it changes. Only metadata is sent, and nothing of it is kept."""
        async for metadata in self._kube.changes(core("configmaps", namespace)):
            if metadata is None:
                changed = self._reconciler.references.all("configmaps")
            else:
                changed = [Reference("configmaps", metadata["namespace"], metadata["name"])]
            self._touch(changed)

    async def look_at_secrets(self) -> None:
        """The same for Secrets, one by one and by name: whoever may list or watch Secrets may read them all."""
        while True:
            await asyncio.sleep(SECRETS_SECONDS)
            for reference in self._reconciler.references.all("secrets"):
                try:
                    await self._look_at(reference)
                except KubeError as error:
                    log.warning("a Secret could not be looked at", error=str(error))
                await asyncio.sleep(1 / SECRETS_A_SECOND)

    async def follow_circuits(self) -> None:
        """Say of providers when their circuits open and close."""
        known: dict[Key, str] = {}
        while True:
            try:
                states = await self._records.circuits(self.namespaces)
                for key, state in states.items():
                    if known.get(key, "closed") != state:
                        await self._reconciler.follow_circuit(key)
                known = dict(states)
            except AWAY as error:
                log.warning("circuits could not be looked at", error=type(error).__name__)
            await asyncio.sleep(CIRCUITS_SECONDS)

    async def _look_at(self, reference: Reference) -> None:
        found = await self._kube.get(core(*reference), metadata=True)
        version = found["metadata"]["resourceVersion"] if found else ""
        for key in self._reconciler.references.stale(reference, version):
            self._reconciler.soon(key)

    def _touch(self, changed: Sequence[Reference]) -> None:
        for reference in changed:
            for key in self._reconciler.references.to(reference):
                self._reconciler.soon(key)
