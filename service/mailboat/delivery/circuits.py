"""Circuits: each change of a provider's breaker is a row, so that people and the operator can read it, and what a
person decides outlives Valkey.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from mailboat import metrics
from mailboat.db import engine
from mailboat.limits.breaker import Breakers, State

log = structlog.get_logger()
POLL_SECONDS = 1.0
KEPT_DAYS = 30
SHOWN = 20  # changes of a provider in a list

# What is known already is not a change: several processes may notice the same.
_ADD = """
insert into circuit_changes (provider, state, manual, reason)
select $1, $2, $3, $4
where $3 or coalesce((select state from circuit_changes where provider = $1 order by id desc limit 1), 'closed') <> $2
"""
_FORGET = "delete from circuit_changes where not manual and at < now() - $1 * interval '1 day'"
_MANUAL = """
select distinct on (provider) id, provider, state from circuit_changes where manual order by provider, id desc
"""
_HISTORY = """
select provider, state, manual, reason, at from (
    select *, row_number() over (partition by provider order by id desc) as n from circuit_changes
    where provider = any($1::text[])
) as latest where n <= $2 order by provider, n
"""
# A person's "open" holds until a person closes it; else the latest change counts.
_STATES = """
select t.provider, case when decided.state = 'open' then 'open' else coalesce(latest.state, 'closed') end as state,
    coalesce(decided.state, 'closed') = 'open' as held
from unnest($1::text[]) as t(provider)
left join lateral (
    select state from circuit_changes c where c.provider = t.provider and manual order by id desc limit 1
) as decided on true
left join lateral (
    select state from circuit_changes c where c.provider = t.provider order by id desc limit 1
) as latest on true
"""


class Circuits:
    """Writes down what `breakers` did in this process, and obeys what people decided."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._changes: asyncio.Queue[tuple[str, State, str]] = asyncio.Queue()
        self._obeyed: dict[str, int] | None = None

    def changed(self, key: str, state: State, reason: str) -> None:
        log.log(30 if state == "open" else 20, "circuit", provider=key, state=state, detail=reason)
        self._changes.put_nowait((key, state, reason))

    async def follow(self, breakers: Breakers) -> None:
        """Write and obey, for ever."""
        while True:
            try:
                await self.obey(breakers)
                await self.write()
            except (*engine.AWAY, asyncpg.PostgresError) as error:
                log.warning("circuits wait for postgres", error=str(error) or type(error).__name__)
            metrics.CIRCUIT_OPEN.replace({(key,): float(state != "closed") for key, state in breakers.states.items()})
            await engine.pause(POLL_SECONDS)

    async def write(self) -> None:
        """Store the changes so far; one that cannot be stored now is kept."""
        while not self._changes.empty():
            change = self._changes.get_nowait()
            try:
                await add(self._pool, change[0], change[1], change[2], manual=False)
            except BaseException:
                self._changes.put_nowait(change)
                raise

    async def obey(self, breakers: Breakers) -> None:
        """Hold open what a person opened; close once what a person closed."""
        rows = await self._pool.fetch(_MANUAL)
        breakers.force(frozenset(row["provider"] for row in rows if row["state"] == "open"))
        if self._obeyed is not None:
            for row in rows:
                if row["state"] == "closed" and self._obeyed.get(row["provider"]) != row["id"]:
                    await breakers.reset(row["provider"])
        self._obeyed = {row["provider"]: row["id"] for row in rows}


async def add(pool: asyncpg.Pool, provider: str, state: State, reason: str, *, manual: bool) -> None:
    """One change. Raises what asyncpg raises."""
    await pool.execute(_ADD, provider, state, manual, reason[:2000].replace("\0", ""))
    await pool.execute(_FORGET, KEPT_DAYS)


async def history(pool: asyncpg.Pool, providers: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The latest changes of each provider, newest first."""
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in providers}
    for row in await pool.fetch(_HISTORY, list(providers), SHOWN):
        found[row["provider"]].append({key: row[key] for key in ("state", "manual", "reason", "at")})
    return found


async def states(pool: asyncpg.Pool, providers: Sequence[str]) -> dict[str, tuple[State, bool]]:
    """Each provider's state, and whether a person holds it open."""
    return {row["provider"]: (row["state"], row["held"]) for row in await pool.fetch(_STATES, list(providers))}
