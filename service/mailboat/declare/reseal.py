"""What is sealed in the tables: all of it sealed again with the first key, and which keys it takes to read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import asyncpg

from mailboat.declare.seal import Sealer, Secrets
from mailboat.delivery import outbound
from mailboat.errors import ConfigurationError
from mailboat.providers import records


class Place(NamedTuple):
    """A table with sealed secrets: its key columns, and what a row's secrets are sealed for."""

    table: str
    key: tuple[str, ...]
    of: Callable[..., str]


PLACES = (
    Place("providers", ("namespace", "name"), records.place),
    Place("declared", ("kind", "namespace", "name"), lambda kind, namespace, name: f"{kind} {namespace}/{name}"),
    Place("webhook_endpoints", ("id",), outbound.place),
)


class Sealed(NamedTuple):
    """What was found: how many secrets, how many of them are or were sealed with another key than the first; `lost`
    says of each that cannot be read why."""

    found: int
    stale: int
    lost: list[str]


async def reseal(asked: asyncpg.Pool | asyncpg.Connection, sealer: Sealer) -> Sealed:
    """Seal with the first key what is sealed with another. What is being written at the same moment is left alone."""

    async def again(place: Place, key: list[Any], sealed: bytes, secrets: Secrets) -> None:
        fresh = sealer.seal(secrets, place.of(*key))
        same = " and ".join(f"{column} = ${number}" for number, column in enumerate(place.key, 3))
        await asked.execute(f"update {place.table} set sealed = $1 where sealed = $2 and {same}", fresh, sealed, *key)

    return await _each(asked, sealer, again)


async def look(asked: asyncpg.Pool | asyncpg.Connection, sealer: Sealer) -> Sealed:
    """The same, and nothing is changed."""
    return await _each(asked, sealer, None)


async def _each(
    asked: asyncpg.Pool | asyncpg.Connection,
    sealer: Sealer,
    act: Callable[[Place, list[Any], bytes, Secrets], Awaitable[None]] | None,
) -> Sealed:
    """`act` gets what is sealed with another key than the first, opened."""
    found = stale = 0
    lost: list[str] = []
    for place in PLACES:
        wanted = f"select {', '.join(place.key)}, sealed from {place.table} where sealed is not null"
        for *key, sealed in await asked.fetch(wanted):
            found += 1
            try:
                secrets = sealer.open(sealed, place.of(*key))
            except ConfigurationError as error:
                lost.append(f"{place.of(*key)}: {error}")
                continue
            if not sealer.is_current(sealed):
                stale += 1
                if act:
                    await act(place, key, sealed, secrets)
    return Sealed(found, stale, lost)
