"""Which resources refer to which Secrets and ConfigMaps: what to reconcile when one of them changes."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from mailboat_operator.reconcile.objects import Key


class Reference(NamedTuple):
    """`kind` is secrets or configmaps."""

    kind: str
    namespace: str
    name: str


class References:
    """What every resource refers to, each with the version that was read for it; "" is one that was not there.

    A client's own Secret is among them: somebody may delete it.
    """

    def __init__(self) -> None:
        self._read: dict[Key, dict[Reference, str]] = {}
        self._from: defaultdict[Reference, set[Key]] = defaultdict(set)

    def put(self, key: Key, read: dict[Reference, str]) -> None:
        self.forget(key)
        self._read[key] = read
        for reference in read:
            self._from[reference].add(key)

    def forget(self, key: Key) -> None:
        for reference in self._read.pop(key, ()):
            self._from[reference].discard(key)
            if not self._from[reference]:
                del self._from[reference]

    def stale(self, reference: Reference, version: str) -> set[Key]:
        """The resources that were reconciled with another version."""
        return {key for key in self._from.get(reference, ()) if self._read[key][reference] != version}

    def to(self, reference: Reference) -> set[Key]:
        """The resources that refer to it."""
        return set(self._from.get(reference, ()))

    def all(self, kind: str) -> list[Reference]:
        return [reference for reference in self._from if reference.kind == kind]
