"""The mount: the operator's ConfigMaps as a folder of this pod (`shards`), for when Postgres cannot be asked."""

from __future__ import annotations

import os
import time
from pathlib import Path

import structlog

from mailboat.domain.revision import Revision
from mailboat.registry import shards
from mailboat.registry.shards import Head

log = structlog.get_logger()
LOOK_AGAIN_SECONDS = 1.0


class Mount:
    """Reads what is there now: the kubelet replaces all of the folder at once. An empty path is an empty mount."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._at = -LOOK_AGAIN_SECONDS
        self._heads: list[Head] = []

    def own(self, namespace: str, name: str) -> Revision | None:
        """What was declared in this namespace."""
        return self._first([head for head in self._look() if head[:2] == (namespace, name)])

    def shared(self, name: str) -> Revision | None:
        """What another namespace lets everybody use, `default` before others, as in Postgres."""
        found = [head for head in self._look() if head.name == name and head.shared]
        return self._first(sorted(found, key=lambda head: (head.namespace != "default", head.namespace)))

    def load(self, digest: str) -> Revision | None:
        return self._first([head for head in self._look() if head.digest == digest])

    def _look(self) -> list[Head]:
        if self._folder and time.monotonic() - self._at >= LOOK_AGAIN_SECONDS:
            try:
                files = os.listdir(self._folder)
            except OSError:
                files = []
            self._heads = [found for file in files if (found := shards.head(file)) is not None]
            self._at = time.monotonic()
        return self._heads

    def _first(self, heads: list[Head]) -> Revision | None:
        for head in heads:
            try:
                packed = Path(self._folder, head.file).read_bytes()
            except OSError:  # replaced since the last look
                self._at = -LOOK_AGAIN_SECONDS
                continue
            if (found := shards.unpack(head, packed)) is not None:
                return found
            log.warning("a mounted template is damaged", file=head.file)
        return None
