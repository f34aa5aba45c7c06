"""Which events are about something new, and which only tell of a status that we have written ourselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailboat_crds import GROUP
from mailboat_operator.reconcile.objects import Key

Mark = tuple[str, int, tuple[tuple[str, str], ...]]


class Marks:
    """Of every object: what of it was seen last. A few octets each, whatever its spec holds."""

    def __init__(self) -> None:
        self._seen: dict[Key, Mark] = {}

    def is_new(self, key: Key, metadata: Mapping[str, Any]) -> bool:
        """Whether the spec or an annotation of ours has changed, or this is another object, since the last call."""
        mark = _mark(metadata)
        known = self._seen.get(key) == mark
        self._seen[key] = mark
        return not known

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._seen.pop(key, None)


def _mark(metadata: Mapping[str, Any]) -> Mark:
    """The API server counts the generation up with every change of the spec."""
    annotations = metadata.get("annotations") or {}
    asked = sorted((name, text) for name, text in annotations.items() if name.startswith(f"{GROUP}/"))
    return metadata["uid"], metadata["generation"], tuple(asked)
