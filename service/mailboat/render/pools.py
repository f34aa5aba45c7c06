"""A pool for each engine, opened at its first job: what no template needs costs nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mailboat.errors import RenderUnavailable
from mailboat.render import react_v8
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

NOT_BUILT = "the React engine is not built: run `make engine`"


class Pools:
    """A `base.Renderer` of all engines. Arguments as for `Pool`."""

    def __init__(self, processes: int, **options: Any) -> None:
        self._processes, self._options = processes, options
        self._pools: dict[str, Pool] = {}

    async def render(self, jobs: Sequence[Job]) -> list[Outcome]:
        """See `base.Renderer`."""
        if len(engines := {job.revision.sources.engine for job in jobs}) == 1:
            return await self._render(engines.pop(), jobs)
        places: dict[str, list[int]] = defaultdict(list)
        for place, job in enumerate(jobs):
            places[job.revision.sources.engine].append(place)
        outcomes: dict[int, Outcome] = {}

        async def part(engine: str, found: list[int]) -> None:
            outcomes.update(zip(found, await self._render(engine, [jobs[place] for place in found]), strict=True))

        await asyncio.gather(*(part(engine, found) for engine, found in places.items()))
        return [outcomes[place] for place in range(len(jobs))]

    async def close(self) -> None:
        """End every process."""
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))

    async def _render(self, engine: str, jobs: Sequence[Job]) -> list[Outcome]:
        if engine == "react" and not react_v8.is_built():
            return [RenderUnavailable(NOT_BUILT) for _ in jobs]
        if engine not in self._pools:
            self._pools[engine] = Pool(self._processes, engine=engine, **self._options)
        return await self._pools[engine].render(jobs)
