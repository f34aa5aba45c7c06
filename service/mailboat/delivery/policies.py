"""What the worker needs to know about a client while it delivers its mail."""

from __future__ import annotations

import time

import asyncpg
import msgspec

SECONDS = 2.0  # how stale a policy may be

_LOAD = "select id, namespace, name, route, on_uncertain from clients where id = any($1::integer[])"


class ClientPolicy(msgspec.Struct, frozen=True):
    """Name, route (provider names, the first one first; empty: the default) and what to do with uncertain sends."""

    name: str
    route: tuple[str, ...] = ()
    hold_uncertain: bool = False


class Policies:
    """Loads policies in batches and keeps them for a moment."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._kept: dict[int, tuple[float, ClientPolicy]] = {}

    async def of(self, client_ids: set[int]) -> dict[int, ClientPolicy]:
        """A policy for each id; for a client that is gone, the defaults. Raises what `engine.AWAY` names."""
        now = time.monotonic()
        stale = [i for i in client_ids if i not in self._kept or now - self._kept[i][0] > SECONDS]
        if stale:
            found = {row["id"]: row for row in await self._pool.fetch(_LOAD, stale)}
            self._kept |= {i: (now, _policy(found.get(i))) for i in stale}
        return {i: self._kept[i][1] for i in client_ids}


def _policy(row: asyncpg.Record | None) -> ClientPolicy:
    if row is None:
        return ClientPolicy("")
    return ClientPolicy(row["name"], tuple(row["route"]), row["on_uncertain"] == "hold")
