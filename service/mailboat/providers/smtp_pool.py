"""The connections of one SMTP provider: opened when needed, kept open, closed after a while of rest."""

from __future__ import annotations

import asyncio

from mailboat.providers import smtp_session
from mailboat.providers.smtp_session import Server, Session

IDLE_SECONDS = 30.0


class Pool:
    """At most `size` connections. Whoever takes one gives it back, whatever happened."""

    def __init__(self, server: Server, size: int) -> None:
        self._server = server
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Session] = []  # the last one used is the next one used, so that the others can rest
        self._sweep: asyncio.TimerHandle | None = None
        self._closing = False

    async def take(self) -> Session:
        """A connection for one transaction. Raises a ProviderError when none can be had."""
        await self._slots.acquire()
        try:
            while self._idle:
                session = self._idle.pop()
                if session.alive:
                    return session
            return await smtp_session.connect(self._server)
        except BaseException:
            self._slots.release()
            raise

    async def replace(self, session: Session) -> Session:
        """A new connection in place of one that failed. Raises a ProviderError; then the old one is still held."""
        session.abort()
        return await smtp_session.connect(self._server)

    def give_back(self, session: Session) -> None:
        self._slots.release()
        if session.alive and not self._closing:
            session.idle_since = asyncio.get_running_loop().time()
            self._idle.append(session)
            self._plan_sweep()
        elif session.alive:
            session.leave()
        else:
            session.abort()

    async def close(self) -> None:
        """Say QUIT on every idle connection; those in use follow when they are given back."""
        self._closing = True
        if self._sweep is not None:
            self._sweep.cancel()
        idle, self._idle = self._idle, []
        for session in idle:
            session.leave()
        if idle:
            await asyncio.wait([session.closed for session in idle])

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_rested)

    def _close_rested(self) -> None:
        self._sweep = None
        longest = asyncio.get_running_loop().time() - IDLE_SECONDS
        rested = [session for session in self._idle if session.idle_since <= longest or not session.alive]
        self._idle = [session for session in self._idle if session not in rested]
        for session in rested:
            session.leave()
        if self._idle:
            self._plan_sweep()
