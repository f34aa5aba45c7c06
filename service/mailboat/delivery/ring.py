"""The doorbell: lists of hints in Valkey. A hint says "look at these rows", and may be lost.

A hint is one list element of up to 64 message ids of 16 bytes. A list needs no consumer group, leaves nothing behind
and is empty exactly when there is nothing to look at, which tells the reconciler whether a hint was lost.

Each lane has several lists, its turns; a client always rings at the same one. Workers pop from all of them with one
BLMPOP, the first lane first and each time beginning at another turn, so that one client's million messages wait behind
each other and not before everybody else's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from mailboat.db.states import Lane

if TYPE_CHECKING:
    from redis.asyncio import Redis

IDS_PER_HINT = 64
TURNS = 32  # lists per lane
LONGEST = 100_000  # hints kept per lane; older ones go, since the rows are still there
QUIET_SECONDS = 0.5  # after a failure, do not try again for so long


def key(lane: int, turn: int) -> str:
    """One list of a lane."""
    return f"mailboat:doorbell:{Lane(lane).word}:{turn}"


KEYS = {lane: [key(lane, turn) for turn in range(TURNS)] for lane in Lane}
LANES = {key: lane for lane, keys in KEYS.items() for key in keys}


def pack(ids: Sequence[UUID]) -> list[bytes]:
    """Hints for these ids."""
    return [b"".join(i.bytes for i in ids[n : n + IDS_PER_HINT]) for n in range(0, len(ids), IDS_PER_HINT)]


def unpack(hint: bytes) -> list[UUID]:
    """The ids of a hint; a damaged tail is ignored."""
    return [UUID(bytes=hint[n : n + 16]) for n in range(0, len(hint) - 15, 16)]


def by_key(rows: Iterable[tuple[UUID, int, int]]) -> dict[str, list[UUID]]:
    """Rows of (id, client id, lane), grouped by the list that they ring at."""
    rings: dict[str, list[UUID]] = {}
    for identifier, client_id, lane in rows:
        rings.setdefault(key(lane, client_id % TURNS), []).append(identifier)
    return rings


class Doorbell:
    """Rings, and never fails: without Valkey the reconciler finds the rows a little later."""

    def __init__(self, redis: Redis | None = None) -> None:
        self.redis = redis
        self._quiet_until = 0.0

    async def ring(self, rings: Mapping[str, Sequence[UUID]]) -> bool:
        """Tell the workers: ids by the list that they ring at. False when nobody could be told."""
        from redis.exceptions import RedisError

        if self.redis is None or time.monotonic() < self._quiet_until:
            return False
        try:
            pipeline = self.redis.pipeline(transaction=False)
            for name, ids in rings.items():
                pipeline.rpush(name, *pack(ids))
                if len(ids) > IDS_PER_HINT:
                    pipeline.ltrim(name, -LONGEST, -1)
            await pipeline.execute()
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return False
        return True
