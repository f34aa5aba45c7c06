"""The doorbell: one list of hints per lane in Valkey. A hint says "look at these rows", and may be lost.

A hint is one list element of up to 64 message ids of 16 bytes. Workers pop hints from all lanes with one BLMPOP,
the first lane first. A list needs no consumer group, leaves nothing behind and is empty exactly when there is nothing
to look at, which tells the reconciler whether a hint was lost.
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
LONGEST = 100_000  # hints kept per lane; older ones go, since the rows are still there
QUIET_SECONDS = 0.5  # after a failure, do not try again for so long


def key(lane: int) -> str:
    """The lane's list."""
    return f"mailboat:doorbell:{Lane(lane).word}"


KEYS = {key(lane): lane for lane in Lane}


def pack(ids: Sequence[UUID]) -> list[bytes]:
    """Hints for these ids."""
    return [b"".join(i.bytes for i in ids[n : n + IDS_PER_HINT]) for n in range(0, len(ids), IDS_PER_HINT)]


def unpack(hint: bytes) -> list[UUID]:
    """The ids of a hint; a damaged tail is ignored."""
    return [UUID(bytes=hint[n : n + 16]) for n in range(0, len(hint) - 15, 16)]


def by_lane(rows: Iterable[tuple[UUID, int]]) -> dict[int, list[UUID]]:
    """Rows of (id, lane), grouped."""
    lanes: dict[int, list[UUID]] = {}
    for identifier, lane in rows:
        lanes.setdefault(lane, []).append(identifier)
    return lanes


class Doorbell:
    """Rings, and never fails: without Valkey the reconciler finds the rows a little later."""

    def __init__(self, redis: Redis | None = None) -> None:
        self.redis = redis
        self._quiet_until = 0.0

    async def ring(self, lanes: Mapping[int, Sequence[UUID]]) -> bool:
        """Tell the workers. False when nobody could be told."""
        from redis.exceptions import RedisError

        if self.redis is None or time.monotonic() < self._quiet_until:
            return False
        try:
            pipeline = self.redis.pipeline(transaction=False)
            for lane, ids in lanes.items():
                pipeline.rpush(key(lane), *pack(ids))
                if len(ids) > IDS_PER_HINT:
                    pipeline.ltrim(key(lane), -LONGEST, -1)
            await pipeline.execute()
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return False
        return True
