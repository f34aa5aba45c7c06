"""Which resources refer to which Secrets and ConfigMaps: what to reconcile when one of them changes."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from mailboat.declare.inputs import config_maps_of, secrets_of
from mailboat_crds.models import EmailClient, Resource
from mailboat_operator.reconcile.objects import Key


class Reference(NamedTuple):
    """`kind` is secrets or configmaps."""

    kind: str
    namespace: str
    name: str


def references_of(resource: Resource) -> set[Reference]:
    """A client's own Secret is among them: somebody may delete it."""
    namespace = resource.metadata.namespace
    found = {Reference("secrets", namespace, name) for name in secrets_of(resource)}
    found |= {Reference("configmaps", namespace, name) for name in config_maps_of(resource)}
    if isinstance(resource, EmailClient):
        found.add(Reference("secrets", namespace, resource.spec.credentials.secret_name))
    return found


class References:
    """The newest references of every resource."""

    def __init__(self) -> None:
        self._of: dict[Key, set[Reference]] = {}
        self._from: defaultdict[Reference, set[Key]] = defaultdict(set)

    def put(self, key: Key, references: set[Reference]) -> None:
        self.forget(key)
        self._of[key] = references
        for reference in references:
            self._from[reference].add(key)

    def forget(self, key: Key) -> None:
        for reference in self._of.pop(key, ()):
            self._from[reference].discard(key)
            if not self._from[reference]:
                del self._from[reference]

    def to(self, reference: Reference) -> set[Key]:
        """The resources that refer to it."""
        return set(self._from.get(reference, ()))

    def all(self, kind: str) -> list[Reference]:
        return [reference for reference in self._from if reference.kind == kind]
