"""Pace: how often a provider may be asked. What it was promised is shared by all replicas in Valkey; what it asks for
by answering "too many" slows down each process by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from redis.asyncio import Redis

QUIET_SECONDS = 0.5  # after a failure of Valkey, stay local for so long

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds, when the provider does not say how long
LONGEST_ASKED = 600.0  # seconds that it may ask for
LEAST_RATE = 1.0  # a second, to begin with after a pause
GROWTH = 2.0  # of the rate, for each second without another "too many"
WINDOW = 1.0  # seconds in which answers are counted
FEW = 3  # refusals in a window that say nothing: servers put off single mails as well (greylisting)


class Throttle(msgspec.Struct):
    """One provider's wish to be asked less often: first a pause, then half the rate that was too much, then ever more
    until it is as fast as we can again. `now` is seconds of any clock that only goes forward."""

    rate: float | None = None  # a second; None: as fast as we can
    _pause_until: float = 0.0
    _next: float = 0.0
    _pause: float = FIRST_PAUSE
    _limit: float = 0.0  # the rate that was too much
    _since: float = 0.0
    _sent: int = 0
    _refused: int = 0

    def wait(self, now: float) -> float:
        """Seconds until the next send may start."""
        return max(0.0, self._pause_until - now, self._next - now)

    def sent(self, now: float) -> None:
        """A send starts now, or as soon as `wait` says."""
        if now - self._since >= WINDOW:
            self._since, self._sent, self._refused = now, 0, 0
        self._sent += 1
        if self.rate is None:
            return
        rate: float = self.rate * GROWTH ** min(30.0, max(0.0, now - self._pause_until))
        if rate > 4 * self._limit:
            self.rate, self._pause, self._next = None, FIRST_PAUSE, 0.0
        else:
            self._next = max(now, self._next, self._pause_until) + 1 / rate

    def throttled(self, now: float, retry_after: float | None) -> None:
        """The provider answered "too many". It is taken at its word when it says how long to wait; else when it says so
        to most of what it gets. All that were on their way get that answer: they are one."""
        self._refused += 1
        if now < self._pause_until:
            self._pause_until = max(self._pause_until, now + min(retry_after or 0.0, LONGEST_ASKED))
            return
        if retry_after is None and (self._refused < FEW or self._refused * 2 < self._sent):
            return
        self._pause = FIRST_PAUSE if self.rate is None else min(LONGEST_PAUSE, self._pause * 2)
        self._limit = max(LEAST_RATE, float(self._sent))
        self.rate = max(LEAST_RATE, self._limit / 2)
        self._pause_until = now + min(retry_after or self._pause, LONGEST_ASKED)
        self._next = self._pause_until


# KEYS: provider; ARGV: seconds between two turns. Takes the next turn, and answers the seconds until then.
TURN = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local at = math.max(now, tonumber(redis.call('GET', KEYS[1])) or 0)
redis.call('SET', KEYS[1], string.format('%.6f', at + ARGV[1]), 'PX', math.ceil((at - now + ARGV[1]) * 1000) + 1000)
return string.format('%.6f', at - now)
"""


class Turns:
    """Turns at providers with a `maxPerSecond`, evenly spaced over all replicas. Without Valkey there are none here:
    the provider paces itself in each process (`providers.pace`)."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis, self._quiet_until = redis, 0.0

    async def take(self, key: str, per_second: float) -> float:
        """Seconds to wait for the next turn, which is taken."""
        from redis.exceptions import RedisError

        if self._redis is None or time.monotonic() < self._quiet_until:
            return 0.0
        try:
            return float(await self._redis.eval(TURN, 1, f"mailboat:turn:{key}", repr(1 / per_second)))
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return 0.0
