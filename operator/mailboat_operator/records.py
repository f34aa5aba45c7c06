"""Postgres for one term of leadership: a pool whose sessions carry the term's epoch, and the declarer over it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg

from mailboat.db import engine
from mailboat.declare import store
from mailboat.declare.declarer import Declarer
from mailboat.declare.seal import Sealer
from mailboat.declare.store import Stored
from mailboat.delivery import circuits
from mailboat.limits.breaker import State
from mailboat.providers import registry
from mailboat.registry.shards import Head
from mailboat.render.pools import Pools
from mailboat.settings import Settings
from mailboat_operator.reconcile.objects import MANAGER, Key

POOL_SIZE = 8
STUCK_MILLISECONDS = "5000"  # a frozen leader's transaction must not keep the next leader from its epoch
FENCED = "MB001"  # SQLSTATE of migration 0004
_DECLARED = "select kind, namespace, name from declared where metadata->>'uid' is not null"
_HEADS = "select namespace, name, digest, shared from template_heads where origin = 'resource'"
_SOURCES = "select digest, body::text from template_sources where digest = any($1::text[])"
_TAKE = "update operator_fence set epoch = epoch + 1 returning epoch"


class Records:
    """Opened at the first use, so that an operator whose Postgres is away can say so. `close` it in the same loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sealer = Sealer(settings.sealing_key)
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool | None = None
        self._renderer: Pools | None = None
        self._declarer: Declarer | None = None

    async def declarer(self) -> Declarer:
        """Raises what `engine.AWAY` names."""
        async with self._opening:
            if self._declarer is None:
                self._pool = await self._fenced_pool()
                self._renderer = Pools(self._settings.render_processes or 1)
                self._declarer = Declarer(
                    self._pool,
                    self._renderer,
                    self._sealer,
                    url=self._settings.url,
                    actor=MANAGER,
                    fixed=[name for name, _ in registry.names(self._settings)],
                )
        return self._declarer

    async def stored(self, key: Key) -> Stored | None:
        """The row of one object, if an API server's was declared under this name. Raises what `engine.AWAY` names."""
        await self.declarer()
        assert self._pool is not None
        found = await store.load(self._pool, *key)
        return found if found is not None and found.metadata.get("uid") else None

    async def answer(self) -> None:
        """Raises what `engine.AWAY` names, at once, rather than once for each of thousands of resources."""
        await self.declarer()
        assert self._pool is not None
        await self._pool.fetchval("select 1")

    async def declared(self) -> list[Key]:
        """Every object of an API server that was declared. Raises what `engine.AWAY` names."""
        await self.declarer()
        assert self._pool is not None
        return [Key(*row) for row in await self._pool.fetch(_DECLARED)]

    async def heads(self) -> list[Head]:
        """Every declared template that is live. Raises what `engine.AWAY` names."""
        await self.declarer()
        assert self._pool is not None
        return [Head(*row) for row in await self._pool.fetch(_HEADS)]

    async def sources(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The sources of revisions as canonical JSON, by digest. Raises what `engine.AWAY` names."""
        await self.declarer()
        assert self._pool is not None
        return {digest: body.encode() for digest, body in await self._pool.fetch(_SOURCES, digests)}

    async def circuits(self, namespaces: Sequence[str | None]) -> dict[Key, State]:
        """The circuit of each declared provider of these namespaces; None is all. Raises what `engine.AWAY` names."""
        keys = [key for key in await self.declared() if key.kind == "EmailProvider"]
        served = [key for key in keys if None in namespaces or key.namespace in namespaces]
        assert self._pool is not None
        states = await circuits.states(self._pool, [f"{key.namespace}/{key.name}" for key in served])
        return {key: states[f"{key.namespace}/{key.name}"][0] for key in served}

    async def close(self) -> None:
        if self._renderer is not None:
            await self._renderer.close()
        if self._pool is not None:
            self._pool.terminate()

    async def _fenced_pool(self) -> asyncpg.Pool:
        """From the moment that the epoch is ours, sessions of earlier terms cannot write."""
        connection = await engine.connect(self._settings.database_url, name=MANAGER)
        try:
            epoch = await connection.fetchval(_TAKE)
        finally:
            await connection.close(timeout=2)
        return await engine.pool(
            self._settings.database_url,
            name=MANAGER,
            size=POOL_SIZE,
            reset=engine.unchanged,
            idle_in_transaction_session_timeout=STUCK_MILLISECONDS,
            **{"mailboat.epoch": str(epoch)},
        )
