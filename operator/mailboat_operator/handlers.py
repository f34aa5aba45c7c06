"""kopf's one handler: whatever happened to an object, of whatever kind, its newest state is looked at.

kopf watches, and that is all: it compares nothing, and so it writes nothing to the objects, neither annotation nor
finalizer. A deletion never waits for an operator, which may be gone or have lost its rights with the namespace; what
one has missed while it was away, it finds when it comes back (`sweep`).
"""

from __future__ import annotations

from typing import Any

import kopf

from mailboat_crds import GROUP, VERSION
from mailboat_crds.models import KINDS, Kind
from mailboat_operator.reconcile.marks import Marks
from mailboat_operator.reconcile.objects import Key
from mailboat_operator.reconciler import Reconciler


def register(registry: kopf.OperatorRegistry, reconciler: Reconciler, marks: Marks) -> None:
    """`marks`: of what has been seen before, if anything has."""
    for kind in KINDS.values():
        _register(registry, reconciler, kind, marks)


def _register(registry: kopf.OperatorRegistry, reconciler: Reconciler, kind: Kind, marks: Marks) -> None:
    async def happened(*, event: Any, name: str, namespace: str | None, uid: str, **_: Any) -> None:
        key = Key(kind.name, namespace or "", name)
        if event["type"] == "DELETED":
            marks.forget(key)
            reconciler.gone(key, uid)
        elif marks.is_new(key, event["object"]["metadata"]):
            reconciler.soon(key)

    kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(happened)
