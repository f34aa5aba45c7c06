"""Providers as an administrator sees them: what there is, how their circuits stand, and the switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from mailboat.delivery import circuits
from mailboat.limits.breaker import State

_DECLARED = "select namespace, name, kind from providers order by namespace, name"
_AUDIT = "insert into audit (actor, action, subject, detail) values ('admin', $1, $2, '{}'::jsonb)"


async def listed(pool: asyncpg.Pool, fixed: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Every provider with its circuit and the latest changes; `fixed` are (name, kind) of those in the settings.

    Raises what `engine.AWAY` names.
    """
    found = [(f"{row['namespace']}/{row['name']}", row["kind"]) for row in await pool.fetch(_DECLARED)]
    everything = [*((name, kind, "settings") for name, kind in fixed), *((*one, "resource") for one in found)]
    keys = [key for key, _, _ in everything]
    states, history = await circuits.states(pool, keys), await circuits.history(pool, keys)
    return [
        {
            "name": key,
            "kind": kind,
            "origin": origin,
            "circuit": states[key][0],
            "held_open": states[key][1],
            "history": history[key],
        }
        for key, kind, origin in everything
    ]


async def switch(pool: asyncpg.Pool, key: str, state: State, reason: str) -> None:
    """A person opens or closes a provider's circuit: every worker obeys within seconds."""
    await circuits.add(pool, key, state, reason, manual=True)
    await pool.execute(_AUDIT, "provider.open" if state == "open" else "provider.close", key)
