"""Who this worker is: its row in `workers`, whose heartbeat is the lease on all that it has claimed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

import asyncpg
import structlog

from mailboat.db import engine, statements

log = structlog.get_logger()


class Owner:
    """One life of one worker. `id` stands in the rows that it owns.

    A life has terms: after a silence of a whole lease a new one begins, since others may have taken over all that was
    claimed before. Only what was claimed in this term may be sent.
    """

    def __init__(self, pool: asyncpg.Pool, identifier: int, name: str, heartbeat: float, lease: float) -> None:
        self._pool, self.id, self.name = pool, identifier, name
        self._heartbeat, self._lease = heartbeat, lease
        self._beaten_at = self._steady_since = time.monotonic()
        self._retiring = False
        self.term = 0

    @classmethod
    async def register(cls, pool: asyncpg.Pool, name: str, heartbeat: float, lease: float) -> Owner:
        """A new life. Raises what `engine.AWAY` names."""
        return cls(pool, await pool.fetchval(statements.REGISTER, name), name, heartbeat, lease)

    def may_send(self, term: int) -> bool:
        """Whether what was claimed in `term` is safely ours: well before others may take over, no send is started."""
        return not self._retiring and term == self.term and self.silence < self._lease / 2

    @property
    def may_take_over(self) -> bool:
        """Whether the silence of others means anything: not until Postgres has answered us for a whole lease.

        Otherwise everybody would take everybody for dead when Postgres comes back, with verdicts still to be booked.
        """
        return time.monotonic() - self._steady_since >= self._lease

    @property
    def silence(self) -> float:
        """Seconds since the last heartbeat that was answered began."""
        return time.monotonic() - self._beaten_at

    def stop_sending(self) -> None:
        """No send is started from now on."""
        self._retiring = True

    async def beat(self) -> None:
        """The heartbeat, for ever."""
        while True:
            # The moment before the statement counts: it may have waited for its answer for long.
            at = time.monotonic()
            try:
                if await self._pool.fetchval(statements.HEARTBEAT, self.id, timeout=self._lease / 2) is None:
                    await self._pool.execute(statements.REVIVE, self.id, self.name)
                self._beat(at)
            except engine.AWAY as error:
                log.warning("heartbeat failed", error=str(error) or type(error).__name__)
            await engine.pause(self._heartbeat)

    def _beat(self, at: float) -> None:
        """A heartbeat that began `at` was answered now; the silence before it lasted until now at most."""
        silence = self.silence
        if silence >= self._lease:
            log.warning("the lease was over", seconds=round(silence, 1))
            self.term += 1
        if silence >= self._lease / 2:
            self._steady_since = at
        self._beaten_at = at


class Watch:
    """Whose heart stands still: no beat for a lease of our own time. Postgres's clock may be set meanwhile."""

    def __init__(self, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease, self._clock = lease, clock
        self._seen: dict[int, tuple[datetime, float]] = {}  # by worker: its last beat, and since when we know it

    def still(self, beats: Mapping[int, datetime]) -> dict[int, datetime]:
        """The last beats of these workers, by id: those of the ones whose heart stands still."""
        now, seen = self._clock(), self._seen
        self._seen = {
            worker: seen[worker] if worker in seen and seen[worker][0] == beat else (beat, now)
            for worker, beat in beats.items()
        }
        return {worker: beat for worker, (beat, since) in self._seen.items() if now - since >= self._lease}
