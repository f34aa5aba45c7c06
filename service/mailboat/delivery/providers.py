"""Providers as an administrator sees them: what there is, how their circuits stand, and the switch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import asyncpg

from mailboat.delivery import circuits
from mailboat.domain import leg
from mailboat.limits.breaker import State
from mailboat.providers.records import HOME

_DECLARED = "select namespace, name, kind from providers order by namespace, name"
_USABLE = """
select name from providers where name = any($2::text[])
    and (namespace = $1 or namespace = 'default' and allowed && array[$1, '*'])
"""
_AUDIT = "insert into audit (actor, action, subject, detail) values ($3, $1, $2, '{}'::jsonb)"


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


async def unknown(
    connection: asyncpg.Connection | asyncpg.Pool, namespace: str, route: Sequence[str], fixed: Collection[str]
) -> list[str]:
    """Those of a route that no client of this namespace can use: neither declared for it nor among `fixed`, the names
    of those in the settings. Raises what `engine.AWAY` names."""
    named = [name for name in leg.names(route) if name not in fixed]
    if not named:
        return []
    usable = {row["name"] for row in await connection.fetch(_USABLE, namespace, named)}
    return [name for name in named if name not in usable]


def warning(namespace: str, missing: Sequence[str], route: Sequence[str]) -> str:
    """What it means that these are unknown, and what to do."""
    names = " and ".join(repr(name) for name in missing)
    left = "mail takes the others" if len(missing) < len(route) else "its mail has nowhere to go"
    whose = "there" if namespace == HOME else f"there, or in {HOME} with allowedNamespaces"
    return (
        f"The route names {names}, and namespace {namespace} has no such EmailProvider: {left}. Make one {whose}, or "
        "correct the route; nothing is wrong where MAILBOAT_PROVIDERS_FILE of the workers has it."
    )


async def switch(pool: asyncpg.Pool, key: str, state: State, reason: str, actor: str = "admin") -> None:
    """A person opens or closes a provider's circuit: every worker obeys within seconds."""
    await circuits.add(pool, key, state, reason, manual=True)
    await pool.execute(_AUDIT, "provider.open" if state == "open" else "provider.close", key, actor)
