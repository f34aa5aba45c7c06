"""What is sealed in the tables: all of it sealed again with the first key, and which keys it takes to read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import asyncpg

from mailboat.declare.seal import Sealer
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


class Resealed(NamedTuple):
    """How many secrets there are and how many were sealed again; `lost` says of each other why it cannot be read."""

    found: int
    resealed: int
    lost: list[str]


async def reseal(asked: asyncpg.Pool | asyncpg.Connection, sealer: Sealer) -> Resealed:
    """Seal with the first key what is sealed with another. What is being written at the same moment is left alone."""
    found = resealed = 0
    lost: list[str] = []

    async def again(place: Place, row: asyncpg.Record) -> None:
        nonlocal found, resealed
        *key, sealed = row
        found += 1
        try:
            fresh = (
                None if sealer.is_current(sealed) else sealer.seal(sealer.open(sealed, place.of(*key)), place.of(*key))
            )
        except ConfigurationError as error:
            lost.append(f"{place.of(*key)}: {error}")
            return
        if fresh is not None:
            same = " and ".join(f"{column} = ${number}" for number, column in enumerate(place.key, 3))
            await asked.execute(
                f"update {place.table} set sealed = $1 where sealed = $2 and {same}", fresh, sealed, *key
            )
            resealed += 1

    await _each(asked, again)
    return Resealed(found, resealed, lost)


async def unreadable(asked: asyncpg.Pool | asyncpg.Connection, sealer: Sealer) -> list[str]:
    """What is sealed and cannot be read with these keys, each with the reason."""
    lost: list[str] = []

    async def look(place: Place, row: asyncpg.Record) -> None:
        *key, sealed = row
        try:
            sealer.open(sealed, place.of(*key))
        except ConfigurationError as error:
            lost.append(f"{place.of(*key)}: {error}")

    await _each(asked, look)
    return lost


async def _each(asked: asyncpg.Pool | asyncpg.Connection, act: Callable[[Place, Any], Awaitable[None]]) -> None:
    for place in PLACES:
        wanted = f"select {', '.join(place.key)}, sealed from {place.table} where sealed is not null"
        for row in await asked.fetch(wanted):
            await act(place, row)
