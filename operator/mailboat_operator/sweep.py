"""What is noticed without an event from our own kinds: drift and orphans, changed ConfigMaps and Secrets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Sequence

import asyncpg
import structlog

from mailboat.db import engine
from mailboat_crds.models import KINDS
from mailboat_operator.kube import Kube, KubeError
from mailboat_operator.reconcile.marks import Marks
from mailboat_operator.reconcile.objects import Key, core, path_of, scopes
from mailboat_operator.reconcile.references import Reference
from mailboat_operator.reconciler import Reconciler, Sight
from mailboat_operator.records import Records

log = structlog.get_logger()
SECRETS_SECONDS = 5.0  # between two looks at the Secrets that are referred to
SECRETS_A_SECOND = 20.0  # the most that are looked at
CIRCUITS_SECONDS = 2.0
WATCHED_SECONDS = 5.0  # by then kopf has listed everything, and sees what is deleted
AGAIN_SECONDS = 2.0  # after a sweep that broke off
AWAY = (KubeError, *engine.AWAY, asyncpg.PostgresError)


class Sweep:
    """Whatever an operator could have missed. `namespaces`: those that are served; none is all of them."""

    def __init__(
        self,
        kube: Kube,
        records: Records,
        reconciler: Reconciler,
        marks: Marks,
        namespaces: Sequence[str],
        seconds: float,
    ) -> None:
        self._kube, self._records, self._reconciler, self._marks = kube, records, reconciler, marks
        self.namespaces = scopes(namespaces)
        self._seconds = seconds
        self._seen_all = asyncio.Event()

    async def first(self) -> None:
        """Before anything is watched. kopf then tells of what has no mark, or another one: what came or was changed
        meanwhile, and where this broke off all that it did not get to."""
        try:
            await self.sweep(told=False)
        except AWAY as error:
            log.warning("the first sweep broke off", error=type(error).__name__)
        self._seen_all.set()

    async def run(self) -> None:
        """For ever. What was deleted between the first sweep and the watches is looked for soon."""
        await self._seen_all.wait()
        first, pause = True, WATCHED_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                await (self.forget_orphans(await self._names()) if first else self.sweep())
                first, pause = False, self._seconds * random.uniform(0.8, 1.0)
            except AWAY as error:
                log.warning("a sweep broke off", error=type(error).__name__)
                pause = min(self._seconds, AGAIN_SECONDS)

    async def sweep(self, *, told: bool = True) -> None:
        """Reconcile every object, then those that are gone and have records. What is found good is `told` in an event,
        or not."""
        began, there = time.monotonic(), set[Key]()
        for kind in KINDS:
            for namespace in self.namespaces:
                asked = time.monotonic()
                async for page in self._kube.pages(path_of(kind, namespace)):
                    keys = [Key(kind, body["metadata"]["namespace"], body["metadata"]["name"]) for body in page]
                    there.update(keys)
                    await self._records.answer()
                    await asyncio.gather(
                        *(self._look(key, Sight(body, asked, told)) for key, body in zip(keys, page, strict=True))
                    )
        await self.forget_orphans(there)
        self._reconciler.forget_before(began)

    async def forget_orphans(self, there: Collection[Key]) -> None:
        """Take back the records of what is declared and not there."""
        for key in await self._records.declared():
            served = None in self.namespaces or key.namespace in self.namespaces
            if served and key not in there:
                await self._reconciler.reconcile(key)

    async def _look(self, key: Key, sight: Sight) -> None:
        self._marks.is_new(key, sight.body["metadata"])
        await self._reconciler.reconcile(key, sight)

    async def _names(self) -> set[Key]:
        return {
            Key(kind, metadata["namespace"], metadata["name"])
            for kind in KINDS
            for namespace in self.namespaces
            async for metadata in self._kube.names(path_of(kind, namespace))
        }

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
        await self._seen_all.wait()
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
