"""What the worker needs to know about a client while it delivers its mail."""

from __future__ import annotations

import time

import asyncpg
import msgspec

from mailboat.domain import leg, retry
from mailboat.domain.leg import Leg

SECONDS = 2.0  # how stale a policy may be

_LOAD = """
select id, namespace, name, route, on_uncertain, retry_attempts, retry_base_seconds, retry_cap_seconds
from clients where id = any($1::integer[])
"""


class ClientPolicy(msgspec.Struct, frozen=True):
    """Who a client is, its retries, its route (the first provider first; empty: the default) and uncertain sends."""

    name: str
    retries: retry.Policy
    route: tuple[Leg, ...] = ()
    hold_uncertain: bool = False
    namespace: str = "default"


class Policies:
    """Loads policies in batches and keeps them for a moment."""

    def __init__(self, pool: asyncpg.Pool, retries: retry.Policy) -> None:
        self._pool, self._retries = pool, retries
        self._kept: dict[int, tuple[float, ClientPolicy]] = {}

    async def of(self, client_ids: set[int]) -> dict[int, ClientPolicy]:
        """A policy for each id; for a client that is gone, the defaults. Raises what `engine.AWAY` names."""
        now = time.monotonic()
        stale = [i for i in client_ids if i not in self._kept or now - self._kept[i][0] > SECONDS]
        if stale:
            found = {row["id"]: row for row in await self._pool.fetch(_LOAD, stale)}
            self._kept |= {i: (now, _policy(found.get(i), self._retries)) for i in stale}
        return {i: self._kept[i][1] for i in client_ids}


def _policy(row: asyncpg.Record | None, default: retry.Policy) -> ClientPolicy:
    if row is None:
        return ClientPolicy("", default)
    given = (row["retry_attempts"], row["retry_base_seconds"], row["retry_cap_seconds"])
    retries = retry.Policy(
        *(own or common for own, common in zip(given, msgspec.structs.astuple(default), strict=True))
    )
    route = tuple(map(leg.parse, row["route"]))
    return ClientPolicy(row["name"], retries, route, row["on_uncertain"] == "hold", row["namespace"])
