"""A pool for each engine, opened at its first job: what no template needs costs nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision
from mailboat.errors import RenderUnavailable, TemplateFault
from mailboat.render import findings, react_v8, tailwind
from mailboat.render.artifacts import Artifacts
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

NOT_BUILT = "the React engine is not built: run `make engine`"
LINGER_SECONDS = 3.0
"""How long a pool that was opened only to compile Tailwind waits for more of it."""


class Pools:
    """A `base.Renderer` of all engines. Other arguments as for `Pool`."""

    def __init__(self, processes: int, *, artifacts: Artifacts | None = None, **options: Any) -> None:
        self._processes, self._options = processes, options
        self._artifacts = artifacts or Artifacts()
        self._pools: dict[str, Pool] = {}
        self._bakery: Pool | None = None
        self._baking = 0
        self._linger: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def render(self, jobs: Sequence[Job]) -> list[Outcome]:
        """See `base.Renderer`."""
        artifacts: dict[str, bytes] = {}
        groups: dict[str, list[int]] = defaultdict(list)  # by engine, or by a digest without artifact
        for place, job in enumerate(jobs):
            digest = job.revision.digest
            if digest not in artifacts and (found := self._artifacts.known(digest)) is not None:
                artifacts[digest] = found
            groups[job.revision.sources.engine if digest in artifacts else digest].append(place)
        if len(groups) == 1:
            return await self._group(jobs, artifacts)
        outcomes: dict[int, Outcome] = {}

        async def part(places: list[int]) -> None:
            found = await self._group([jobs[place] for place in places], artifacts)
            outcomes.update(zip(places, found, strict=True))

        await asyncio.gather(*map(part, groups.values()))
        return [outcomes[place] for place in range(len(jobs))]

    async def close(self) -> None:
        """End every process."""
        await self._artifacts.close()
        self._close_bakery()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()), *self._closing)

    async def _group(self, jobs: Sequence[Job], artifacts: Mapping[str, bytes]) -> list[Outcome]:
        """Render jobs of one engine whose artifacts are known, or of one revision."""
        revision = jobs[0].revision
        try:
            if revision.digest not in artifacts:
                artifacts = {revision.digest: await self._artifacts.get(revision, self._compile)}
            pool = self._pool(revision.sources.engine)
        except (TemplateFault, RenderUnavailable) as error:
            return [error for _ in jobs]
        found = await pool.render(jobs, artifacts)
        if not any(job.thorough for job in jobs):
            return found
        return [
            findings.placed(each, job.revision.sources) if isinstance(each, Rendered) else each
            for each, job in zip(found, jobs, strict=True)
        ]

    def _pool(self, engine: str) -> Pool:
        if engine == "react" and not react_v8.is_built():
            raise RenderUnavailable(NOT_BUILT)
        if engine not in self._pools:
            self._pools[engine] = Pool(self._processes, engine=engine, **self._options)
        return self._pools[engine]

    # Compiling

    async def _compile(self, revision: Revision) -> bytes:
        engine = revision.sources.engine
        if engine != "jinja" or not tailwind.is_wanted(revision.sources):
            return await self._pool(engine).compile(revision)
        if "react" in self._pools:
            return await self._pools["react"].compile(revision)
        return await self._bake(revision)

    async def _bake(self, revision: Revision) -> bytes:
        """Compile in a process with V8, of which no more are kept than that, and not for long."""
        if not react_v8.is_built():
            raise RenderUnavailable(NOT_BUILT)
        if self._linger:
            self._linger.cancel()
        if self._bakery is None:
            self._bakery = Pool(1, engine="react", **self._options)
        self._baking += 1
        try:
            return await self._bakery.compile(revision)
        finally:
            self._baking -= 1
            if not self._baking:
                self._linger = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_bakery)

    def _close_bakery(self) -> None:
        if self._linger:
            self._linger.cancel()
        if self._bakery and not self._baking:
            task = asyncio.create_task(self._bakery.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._bakery = None
