"""`mailboat operator`: stand for election, and lead while elected; `mailboat release`: let go of every resource."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable

import structlog

from mailboat.declare.seal import Sealer
from mailboat.settings import Settings
from mailboat.telemetry import configure_logs
from mailboat_operator.elector import Elector
from mailboat_operator.health import Health
from mailboat_operator.kube import Kube
from mailboat_operator.reconcile.lease import DEADLINE, DURATION
from mailboat_operator.term import Term

log = structlog.get_logger()
GRACE_SECONDS = 20.0  # for what is being reconciled when told to stop
PAUSE_SECONDS = 2.0  # after a term that ended in a fault


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises ConfigurationError."""
    configure_logs(settings.log_level, "operator")
    Sealer(settings.sealing_key)  # says now what is wrong with it
    asyncio.run(Operator(settings).run())


class Operator:
    """One replica."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._me = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._term: Term | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        async with Kube() as kube, Health(self._settings.host, self._settings.port, lambda: self._term):
            log.info("ready", identity=self._me)
            elector = Elector(kube, self._settings.lease, self._me)
            while await self._first_of(elector.acquire()):
                await self._lead(elector)
            await elector.release()

    async def _lead(self, elector: Elector) -> None:
        """One term. Does not come back before its thread has ended; a thread that does not end takes us with it."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._term = term = Term(self._settings, lambda: loop.call_soon_threadsafe(ended.set))
        term.start()
        await self._first_of(elector.hold(), ended.wait())
        if self._stop.is_set() or ended.is_set():
            term.stop()
            over = await self._while_holding(elector, asyncio.to_thread(term.is_over, GRACE_SECONDS))
        else:
            term.abort()
            over = await asyncio.to_thread(term.is_over, DURATION - DEADLINE)
        if not over:
            log.error("what was being done did not end in time: leaving at once")
            os._exit(1)
        self._term = None
        if not self._stop.is_set():
            await self._first_of(asyncio.sleep(PAUSE_SECONDS))

    async def _while_holding(self, elector: Elector, work: Awaitable[bool]) -> bool:
        """Go on being the leader as long as this takes."""
        holding = asyncio.create_task(elector.hold())
        try:
            return await work
        finally:
            holding.cancel()
            await asyncio.wait({holding})

    async def _first_of(self, *work: Awaitable[object]) -> bool:
        """Wait for one of these, or to be told to stop. False when told."""
        tasks = [asyncio.ensure_future(one) for one in (*work, self._stop.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return not self._stop.is_set()
