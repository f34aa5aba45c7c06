"""The ConfigMaps that pods mount: every live revision that was declared, for a pod that cannot ask Postgres."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import structlog

from mailboat.db import engine
from mailboat.declare.outcome import stamp
from mailboat.registry import shards
from mailboat.registry.shards import SHARDS, Head
from mailboat_crds.models import Condition
from mailboat_operator.kube import Kube, KubeError
from mailboat_operator.reconcile import objects
from mailboat_operator.reconcile.objects import Key, Object
from mailboat_operator.records import Records

log = structlog.get_logger()
MARK = "operator.mailboat.dev/templates"  # an annotation: what a ConfigMap holds
QUIET_SECONDS, LONGEST_SECONDS = 1.0, 30.0  # edits are gathered until there has been none for so long
AGAIN_SECONDS = 5.0
AWAY = (KubeError, *engine.AWAY, asyncpg.PostgresError)


class Shards:
    """`place`: NAMESPACE/PREFIX of the ConfigMaps, which are there already; "" for none. `seconds`: between two looks
    without a reason."""

    def __init__(self, kube: Kube, records: Records, place: str, seconds: float) -> None:
        self._kube, self._records, self._seconds = kube, records, seconds
        self._namespace, _, self._prefix = place.partition("/")
        self._touched = asyncio.Event()
        self._touched.set()
        self._marks: dict[int, str] = {}
        self._told: set[Head] = set()

    def touch(self) -> None:
        """A template may have changed."""
        self._touched.set()

    async def run(self) -> None:
        """For ever."""
        while self._prefix:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._touched.wait()
            await self._until_quiet()
            try:
                await self.write()
            except AWAY as error:
                log.warning("templates could not be put into ConfigMaps", error=str(error) or type(error).__name__)
                self._marks.clear()
                self._touched.set()
                await asyncio.sleep(AGAIN_SECONDS)

    async def write(self) -> None:
        """Bring every ConfigMap in line, and write those alone that differ. One shard is in memory at a time."""
        heads = await self._records.heads()
        for number in range(SHARDS):
            wanted = [head for head in heads if head.shard == number]
            mark = shards.mark(wanted)
            if self._marks.get(number) != mark and await self._mark(number) != mark:
                await self._write(number, wanted, mark)
            self._marks[number] = mark

    async def _until_quiet(self) -> None:
        for _ in range(int(LONGEST_SECONDS / QUIET_SECONDS)):
            self._touched.clear()
            await asyncio.sleep(QUIET_SECONDS)
            if not self._touched.is_set():
                return

    async def _mark(self, number: int) -> str:
        found = await self._kube.get(self._path(number), metadata=True)
        annotations: dict[str, str] = (found["metadata"].get("annotations") if found else None) or {}
        return annotations.get(MARK, "")

    async def _write(self, number: int, wanted: Sequence[Head], mark: str) -> None:
        sources = await self._records.sources([head.digest for head in wanted])
        files, left_out = await asyncio.to_thread(shards.fill, wanted, sources)
        body: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name(number), "namespace": self._namespace, "annotations": {MARK: mark}},
            "binaryData": {file: base64.b64encode(packed).decode() for file, packed in files.items()},
        }
        await self._kube.apply(self._path(number), body)
        for head in left_out:
            await self._say(head, number)

    async def _say(self, head: Head, number: int) -> None:
        """That a template is in Postgres alone: once of each revision."""
        if head in self._told:
            return
        self._told.add(head)
        key = Key("EmailTemplate", head.namespace, head.name)
        text = (
            f"ConfigMap {self._name(number)} is full, so pods that start while PostgreSQL is away cannot use the "
            "template. It is live all the same. Make it, or others, shorter."
        )
        log.warning("a template has no room in its ConfigMap", resource=str(key))
        body = await self._kube.get(objects.path_of(*key))
        if body is not None:
            now = datetime.now(UTC)
            full = Condition(
                type="Mounted", status="False", reason="ShardFull", message=text, last_transition_time=stamp(now)
            )
            event = objects.event_of(body, full, socket.gethostname(), now)
            await self._kube.create(objects.core("events", head.namespace), event)

    def _name(self, number: int) -> str:
        return f"{self._prefix}-{number:02}"

    def _path(self, number: int) -> str:
        return objects.core("configmaps", self._namespace, self._name(number))
