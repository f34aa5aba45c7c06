"""The Lease, taken and held."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import structlog

from mailboat_operator.kube import Conflict, Kube, KubeError
from mailboat_operator.reconcile import lease
from mailboat_operator.reconcile.lease import DEADLINE, LOOK, PATIENCE, RENEW, Seen

log = structlog.get_logger()


class Elector:
    """One candidate, `me`, for the Lease at `place` (namespace/name)."""

    def __init__(self, kube: Kube, place: str, me: str) -> None:
        self._kube, self._me = kube, me
        self._namespace, _, self._name = place.rpartition("/")
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace or 'default'}/leases"
        self._known: Seen | None = None
        self.answered = time.monotonic()  # when the API server did last

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        told = ""
        while True:
            try:
                if await self._attempt():
                    log.info("leading", identity=self._me)
                    return
            except KubeError as error:
                if str(error) != told:
                    log.warning("the Lease cannot be had", error=str(error))
                told = str(error)
            await asyncio.sleep(LOOK)

    async def hold(self) -> None:
        """Renew it; comes back when it is lost."""
        renewed = time.monotonic()
        while (left := DEADLINE - (time.monotonic() - renewed)) > 0:
            pause = RENEW
            try:
                # A connection that was cut silently must not cost more than one attempt.
                async with asyncio.timeout(min(left, PATIENCE)):  # wait_for can lose a cancellation: CPython gh-86296
                    if not await self._attempt():
                        break
                renewed = time.monotonic()
            except (KubeError, TimeoutError) as error:
                log.warning("the Lease was not renewed", error=str(error) or type(error).__name__)
                pause = LOOK
            await asyncio.sleep(pause)
        log.warning("not leading any more", identity=self._me)

    async def release(self) -> None:
        """Let another candidate have it at once, if it is ours."""
        if self._known is not None and self._known.holder == self._me:
            with contextlib.suppress(KubeError):
                await self._kube.patch(f"{self._collection}/{self._name}", {"spec": {"holderIdentity": None}})

    async def _attempt(self) -> bool:
        """Take or renew the Lease if we may. Raises KubeError."""
        path = f"{self._collection}/{self._name}"
        found = await self._kube.get(path)
        if found is None:
            found = await self._kube.create(self._collection, self._empty())
        self.answered = now = time.monotonic()
        self._known = lease.seen(found.get("spec") or {}, self._known, now)
        if not lease.is_free(self._known, self._me, now):
            return False
        spec = lease.taken(self._known, self._me, datetime.now(UTC))
        version = found["metadata"]["resourceVersion"]
        try:
            after = await self._kube.patch(path, {"metadata": {"resourceVersion": version}, "spec": spec})
        except Conflict:
            return False
        self._known = lease.seen((after or {}).get("spec") or {}, self._known, now)
        return self._known.holder == self._me

    def _empty(self) -> dict[str, object]:
        metadata = {"name": self._name, "namespace": self._namespace or "default"}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
