"""Who this worker is: its row in `workers`, whose heartbeat is the lease on all that it has claimed."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import structlog

from mailboat.db import engine, statements

log = structlog.get_logger()


class Owner:
    """One life of one worker. `id` stands in the rows that it owns."""

    def __init__(self, pool: asyncpg.Pool, identifier: int, name: str, heartbeat: float, lease: float) -> None:
        self._pool, self.id, self.name = pool, identifier, name
        self._heartbeat, self._lease = heartbeat, lease
        self._beaten_at = time.monotonic()
        self._retiring = False

    @classmethod
    async def register(cls, pool: asyncpg.Pool, name: str, heartbeat: float, lease: float) -> Owner:
        """A new life. Raises what `engine.AWAY` names."""
        return cls(pool, await pool.fetchval(statements.REGISTER, name), name, heartbeat, lease)

    @property
    def may_send(self) -> bool:
        """Whether the lease is safe: well before others may take over, no new send is started."""
        return not self._retiring and time.monotonic() - self._beaten_at < self._lease / 2

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
                self._beaten_at = at
            except engine.AWAY as error:
                log.warning("heartbeat failed", error=str(error) or type(error).__name__)
            await asyncio.sleep(self._heartbeat)

    async def retire(self) -> None:
        """The end of this life; what it still owns is taken over at once."""
        await self._pool.execute(statements.RETIRE, self.id)
