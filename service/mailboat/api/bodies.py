"""Bodies: how much of what callers send is in memory at once, and for how long one may send it.

A request whose Content-Length does not fit is told to come back before any of its body is read; one that says no length
as soon as it has passed what there is room for.
"""

from __future__ import annotations

import asyncio
import math
import time

from mailboat.api import asgi
from mailboat.api.asgi import Receive
from mailboat.delivery.accept import unavailable
from mailboat.errors import Problem

LOOK_SECONDS = 0.5  # between looks for bodies that are late: a timer for each would cost more than the rest of this


class Held:
    """The octets of one request, until `close`."""

    __slots__ = ("_bodies", "_octets")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies, self._octets = bodies, 0

    def take(self, octets: int) -> None:
        """Raises Problem 503 when there is no room. Whoever is alone always has room."""
        bodies = self._bodies
        if bodies.octets > self._octets and bodies.octets + octets > bodies.limit:
            raise _crowded()
        bodies.octets += octets
        self._octets += octets

    def close(self) -> None:
        self._bodies.octets -= self._octets
        self._octets = 0


class Bodies:
    """`octets` are in memory now, `limit` may be; `most` are in one body, which has `seconds` to arrive."""

    def __init__(self, limit: int, most: int, seconds: float) -> None:
        self.limit, self.octets = limit, 0
        self._most, self._seconds = most, seconds
        self._reading: dict[asyncio.Task[None], float] = {}  # until when; infinity: it was given up
        self._look: asyncio.TimerHandle | None = None

    def hold(self) -> Held:
        return Held(self)

    async def read(self, headers: dict[bytes, str], receive: Receive, held: Held) -> bytes:
        """A body. Raises Problem: 413 too large, 503 no room, 408 too slow."""
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = time.monotonic() + self._seconds
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._give_up)
        try:
            return await asgi.read(headers, receive, self._most, held.take)
        except asyncio.CancelledError:
            if self._reading[task] == math.inf and not task.uncancel():
                raise _late(self._seconds) from None
            raise
        finally:
            del self._reading[task]

    def _give_up(self) -> None:
        """Those that are late."""
        now = time.monotonic()
        for task, deadline in self._reading.items():
            if deadline <= now:
                self._reading[task] = math.inf
                task.cancel()
        again = bool(self._reading)
        self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._give_up) if again else None

    def close(self) -> None:
        if self._look is not None:
            self._look.cancel()


def _crowded() -> Problem:
    return unavailable("the bodies of other requests fill what MAILBOAT_BODIES_BYTES leaves for them")


def _late(seconds: float) -> Problem:
    # Whatever else comes on this connection belongs to that body.
    detail = f"The body has to be here within {seconds:g} seconds (MAILBOAT_BODY_SECONDS)."
    return Problem(408, "too_slow", detail, headers={"Connection": "close"})
