"""Token buckets, one per client, in Valkey: all replicas share them. Without Valkey each process keeps its own.

A bucket holds `burst` tokens and gains `per_minute` / 60 a second; each message takes one.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from redis.asyncio import Redis

QUIET_SECONDS = 0.5  # after a failure of Valkey, stay local for so long

# KEYS: bucket; ARGV: burst, tokens per second, tokens wanted. Answers tokens granted and the level left, as text since
# Lua's numbers become integers.
TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local burst, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(burst, (tonumber(kept[1]) or burst) + math.max(0, now - (tonumber(kept[2]) or now)) * rate)
local granted = math.min(wanted, math.floor(level))
level = level - granted
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return {granted, tostring(level)}
"""


class Rate(msgspec.Struct, frozen=True):
    """Who is limited, and how."""

    client_id: int
    per_minute: int
    burst: int


class Decision(msgspec.Struct, frozen=True):
    """`remaining` tokens are left; `retry_after` seconds until the next one when this one was refused."""

    allowed: bool
    remaining: int
    retry_after: int = 0


def level_after(level: float, seconds: float, rate: Rate) -> float:
    """The level of a bucket `seconds` later."""
    return min(rate.burst, level + max(0.0, seconds) * rate.per_minute / 60)


def decisions(rate: Rate, wanted: int, granted: int, level: float) -> list[Decision]:
    """One decision per token wanted: the first ones are allowed."""
    wait = max(1, math.ceil((1 - level) * 60 / rate.per_minute)) if level < 1 else 1
    left = int(level)
    return [Decision(True, left + granted - 1 - n) for n in range(granted)] + [Decision(False, left, wait)] * (
        wanted - granted
    )


class LocalBuckets:
    """The same arithmetic in this process, for the time that Valkey is away."""

    def __init__(self) -> None:
        self._levels: dict[int, tuple[float, float]] = {}

    def take(self, rate: Rate, wanted: int, now: float | None = None) -> list[Decision]:
        now = time.monotonic() if now is None else now
        level, at = self._levels.get(rate.client_id, (float(rate.burst), now))
        level = level_after(level, now - at, rate)
        granted = min(wanted, int(level))
        self._levels[rate.client_id] = (level - granted, now)
        return decisions(rate, wanted, granted, level - granted)


class Buckets:
    """`take_many` is a flush for a Batcher: many requests cost one round trip and one Lua call per client."""

    def __init__(self, redis: Redis | None = None) -> None:
        self.redis = redis
        self._local = LocalBuckets()
        self._quiet_until = 0.0
        self.local_decisions = 0  # how many were made without Valkey

    async def take_many(self, rates: list[Rate]) -> list[Decision]:
        """One decision per rate, in order."""
        wanted: dict[Rate, int] = {}
        for rate in rates:
            wanted[rate] = wanted.get(rate, 0) + 1
        answers = {rate: iter(decided) for rate, decided in (await self._take(wanted)).items()}
        return [next(answers[rate]) for rate in rates]

    async def _take(self, wanted: dict[Rate, int]) -> dict[Rate, list[Decision]]:
        if self.redis is not None and time.monotonic() >= self._quiet_until:
            from redis.exceptions import RedisError

            try:
                return await self._shared(self.redis, wanted)
            except (RedisError, OSError):
                self._quiet_until = time.monotonic() + QUIET_SECONDS
        self.local_decisions += sum(wanted.values())
        return {rate: self._local.take(rate, count) for rate, count in wanted.items()}

    async def _shared(self, redis: Redis, wanted: dict[Rate, int]) -> dict[Rate, list[Decision]]:
        pipeline = redis.pipeline(transaction=False)
        for rate, count in wanted.items():
            pipeline.eval(TAKE, 1, f"mailboat:bucket:{rate.client_id}", rate.burst, rate.per_minute / 60, count)
        answers = await pipeline.execute()
        return {
            rate: decisions(rate, count, int(granted), float(level))
            for (rate, count), (granted, level) in zip(wanted.items(), answers, strict=True)
        }
