"""Token buckets, one per client, in Valkey: all replicas share them. Without Valkey each process keeps its own.

A bucket holds `burst` tokens and gains `per_minute` / 60 a second; each message takes one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from mailboat import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

QUIET_SECONDS = 0.5  # between looks for a Valkey that is away

# KEYS: bucket; ARGV: burst, tokens per second, tokens wanted, 1 for all or none. Answers tokens granted and the level
# left, as text since Lua's numbers become integers.
TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local burst, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(burst, (tonumber(kept[1]) or burst) + math.max(0, now - (tonumber(kept[2]) or now)) * rate)
local granted = math.min(wanted, math.max(0, math.floor(level)))
if ARGV[4] == '1' then
    granted = level >= math.min(wanted, burst) and wanted or 0
end
level = level - granted
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate * 1000) + 1000)
return {granted, tostring(level)}
"""


class Rate(msgspec.Struct, frozen=True):
    """Who is limited, and how. `whole`: tokens that are taken together or not at all, for a batch.

    A batch may be larger than the bucket: it needs a full one then, and leaves a debt that later requests wait for.
    """

    client_id: int
    per_minute: int
    burst: int
    whole: int = 0


class Decision(msgspec.Struct, frozen=True):
    """`remaining` tokens are left; `retry_after` seconds until the next one when this one was refused."""

    allowed: bool
    remaining: int
    retry_after: int = 0


def level_after(level: float, seconds: float, rate: Rate) -> float:
    """The level of a bucket `seconds` later."""
    return min(rate.burst, level + max(0.0, seconds) * rate.per_minute / 60)


def granted_of(rate: Rate, level: float, wanted: int) -> int:
    """How many of the tokens wanted a bucket at this level gives."""
    if rate.whole:
        return wanted if level >= min(wanted, rate.burst) else 0
    return min(wanted, max(0, int(level)))


def decisions(rate: Rate, wanted: int, granted: int, level: float) -> list[Decision]:
    """One decision per request; `level` is what is left. The first ones are allowed."""
    left = max(0, int(level))
    if rate.whole:
        return [Decision(granted == wanted, left, _wait(rate, level, min(wanted, rate.burst)))]
    wait = _wait(rate, level, 1)
    return [Decision(True, left + granted - 1 - n) for n in range(granted)] + [Decision(False, left, wait)] * (
        wanted - granted
    )


def _wait(rate: Rate, level: float, needed: int) -> int:
    """Whole seconds until the bucket holds what is needed, at least one."""
    return max(1, math.ceil((needed - level) * 60 / rate.per_minute))


class LocalBuckets:
    """The same arithmetic in this process, for the time that Valkey is away."""

    def __init__(self) -> None:
        self._levels: dict[int, tuple[float, float]] = {}

    def take(self, rate: Rate, wanted: int, now: float | None = None) -> list[Decision]:
        now = time.monotonic() if now is None else now
        level, at = self._levels.get(rate.client_id, (float(rate.burst), now))
        level = level_after(level, now - at, rate)
        granted = granted_of(rate, level, wanted)
        self._levels[rate.client_id] = (level - granted, now)
        return decisions(rate, wanted, granted, level - granted)


class Buckets:
    """`take_many` is a flush for a Batcher: many requests cost one round trip and one Lua call per client."""

    def __init__(self, redis: Redis | None = None) -> None:
        self.redis = redis
        self._local = LocalBuckets()
        self._returning: asyncio.Task[None] | None = None  # while Valkey is away
        self.local_decisions = 0  # how many were made without Valkey

    async def take_many(self, rates: list[Rate]) -> list[Decision]:
        """One decision per rate, in order."""
        wanted: dict[Rate, int] = {}
        batches = [rate for rate in rates if rate.whole]
        for rate in rates:
            if not rate.whole:
                wanted[rate] = wanted.get(rate, 0) + 1
        answers: dict[Rate, Iterator[Decision]] = {
            rate: iter(decided) for rate, decided in (await self._take(wanted)).items()
        }
        # Batches are few, and two alike must not share an answer.
        for rate in batches:
            answers[rate] = chain(answers.get(rate, ()), (await self._take({rate: rate.whole}))[rate])
        return [next(answers[rate]) for rate in rates]

    async def _take(self, wanted: dict[Rate, int]) -> dict[Rate, list[Decision]]:
        if wanted and self.redis is not None and self._returning is None:
            from redis.exceptions import RedisError

            try:
                return await self._shared(self.redis, wanted)
            except (RedisError, OSError):
                self._returning = asyncio.create_task(self._return(self.redis))
        self.local_decisions += sum(wanted.values())
        metrics.LOCAL_LIMITS.inc(by=sum(wanted.values()))
        return {rate: self._local.take(rate, count) for rate, count in wanted.items()}

    async def _return(self, redis: Redis) -> None:
        """Look for Valkey aside, until it answers: no request waits for one that is silent."""
        from redis.exceptions import RedisError

        while True:
            await asyncio.sleep(QUIET_SECONDS)
            with contextlib.suppress(RedisError, OSError):
                await redis.ping()
                self._returning = None
                return

    async def _shared(self, redis: Redis, wanted: dict[Rate, int]) -> dict[Rate, list[Decision]]:
        pipeline = redis.pipeline(transaction=False)
        for rate, count in wanted.items():
            key = f"mailboat:bucket:{rate.client_id}"
            pipeline.eval(TAKE, 1, key, rate.burst, rate.per_minute / 60, count, int(rate.whole > 0))
        answers = await pipeline.execute()
        return {
            rate: decisions(rate, count, int(granted), float(level))
            for (rate, count), (granted, level) in zip(wanted.items(), answers, strict=True)
        }
