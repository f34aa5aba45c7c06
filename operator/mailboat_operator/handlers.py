"""kopf's handlers: whatever happened to an object, of whatever kind, it is the same call.

There are no finalizers. A deletion never waits for an operator, which may be gone or have lost its rights with the
namespace; what one has missed while it was away, it finds when it comes back (`sweep`).
"""

from __future__ import annotations

from typing import Any

import kopf

from mailboat_crds import GROUP, VERSION
from mailboat_crds.models import KINDS, Kind
from mailboat_operator.reconcile.objects import Key
from mailboat_operator.reconciler import Reconciler


def register(registry: kopf.OperatorRegistry, reconciler: Reconciler) -> None:
    for kind in KINDS.values():
        _register(registry, reconciler, kind)


def _register(registry: kopf.OperatorRegistry, reconciler: Reconciler, kind: Kind) -> None:
    place = (GROUP, VERSION, kind.plural)

    async def changed(*, name: str, namespace: str | None, **_: Any) -> None:
        await reconciler.reconcile(Key(kind.name, namespace or "", name))

    async def happened(*, type: str | None, name: str, namespace: str | None, uid: str, **_: Any) -> None:  # noqa: A002
        if type == "DELETED":
            reconciler.gone(Key(kind.name, namespace or "", name), uid)

    for on in (kopf.on.create, kopf.on.update, kopf.on.resume):
        on(*place, registry=registry)(changed)
    kopf.on.event(*place, registry=registry)(happened)
