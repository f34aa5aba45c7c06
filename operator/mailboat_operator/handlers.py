"""kopf's handlers: create, update and resume are all the same call, for every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import kopf
import structlog

from mailboat_crds import GROUP, VERSION
from mailboat_crds.models import KINDS, Kind
from mailboat_operator.reconcile.objects import Key
from mailboat_operator.reconciler import Reconciler
from mailboat_operator.sweep import AWAY

log = structlog.get_logger()
RETRY_SECONDS = 3.0
GIVE_UP_SECONDS = 300.0  # then a deletion goes on without us, and the sweep removes the records when it can


def register(registry: kopf.OperatorRegistry, reconciler: Reconciler) -> None:
    for kind in KINDS.values():
        _register(registry, reconciler, kind)


def _register(registry: kopf.OperatorRegistry, reconciler: Reconciler, kind: Kind) -> None:
    place = (GROUP, VERSION, kind.plural)

    async def changed(*, name: str, namespace: str | None, **_: Any) -> None:
        await reconciler.reconcile(Key(kind.name, namespace or "", name))

    async def deleted(*, name: str, namespace: str | None, spec: kopf.Spec, meta: kopf.Meta, **_: Any) -> None:
        key = Key(kind.name, namespace or "", name)
        try:
            await reconciler.delete(key, spec.get("deletionPolicy", "Retain"))
        except AWAY as error:
            if _age(meta["deletionTimestamp"]) < GIVE_UP_SECONDS:
                raise kopf.TemporaryError(type(error).__name__, delay=RETRY_SECONDS) from None
            log.warning("released before its records are gone", resource=str(key))

    for on in (kopf.on.create, kopf.on.update, kopf.on.resume):
        on(*place, registry=registry)(changed)
    kopf.on.delete(*place, registry=registry)(deleted)


def _age(stamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
