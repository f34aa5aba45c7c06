"""Leg: one entry of a route, `provider` or `provider=weight`, and the order in which a message takes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID


class Leg(NamedTuple):
    """`weight` is its share of the mail that goes to it first, beside the other weights of the route."""

    name: str
    weight: int = 0


def parse(entry: str) -> Leg:
    """An entry that was checked when it came in."""
    name, _, weight = entry.partition("=")
    return Leg(name, int(weight or 0))


def names(entries: Iterable[str]) -> list[str]:
    """The providers of a route."""
    return [parse(entry).name for entry in entries]


def twice(entries: Sequence[str]) -> str | None:
    """The first provider that a route names a second time, perhaps with another weight."""
    named = names(entries)
    return next((name for place, name in enumerate(named) if name in named[:place]), None)


def order(weights: Sequence[int], message_id: UUID) -> list[int]:
    """The places of a route, as this message takes them: first the one that its id draws by the weights, then the rest
    as they stand. Each try of a message draws the same, in every process. Without weights: as they stand."""
    total, places = sum(weights), list(range(len(weights)))
    if total > 0:
        # The id's own octets are a time and a little chance; their digest is even.
        drawn = int.from_bytes(blake2b(message_id.bytes, digest_size=8).digest(), "big") % total
        first = next(place for place, end in enumerate(accumulate(weights)) if drawn < end)
        places.insert(0, places.pop(first))
    return places
