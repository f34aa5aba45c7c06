"""Live news of the inbox: one LISTEN for all open pages, held only while somebody looks.

A page may miss nothing, and may not be buried: what one has not been told yet is at most a page of mails; beyond that,
and whenever the connection was away, it is told to draw its list again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from mailboat.dashboard import inbox
from mailboat.db import engine

AGAIN = 1.0  # seconds between tries to reach Postgres
PROBE = 15.0  # seconds of silence after which the connection is tried

log = logging.getLogger(__name__)


class Viewer:
    """One open page: what it has still to be told. `stale` means that its list has to be drawn again."""

    def __init__(self, *, stale: bool) -> None:
        self.changed = asyncio.Event()
        self._ids: list[UUID] = []
        self._stale = stale

    def tell(self, message_id: UUID | None) -> None:
        """Note a mail that arrived, or None for any other change."""
        if message_id is None or len(self._ids) >= inbox.PAGE:
            self._stale = True
        else:
            self._ids.append(message_id)
        self.changed.set()

    def take(self) -> tuple[bool, Sequence[UUID]]:
        """Is the list stale, and if not, which mails are new? Forgets both."""
        stale, ids = self._stale, self._ids
        self._stale, self._ids = False, []
        self.changed.clear()
        return stale, [] if stale else ids


class Feed:
    """Hands each notification to every viewer. Safe to make anywhere; listens from the first viewer to the last.

    `close` ends every open stream: call it when the server is told to stop, since a server waits for its answers and
    a stream has no end of its own.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None
        self._listening = False
        self._on_close: list[Callable[[], None]] = []
        self.closed = False

    def on_close(self, act: Callable[[], None]) -> None:
        """Call this too when the feed is closed."""
        self._on_close.append(act)

    @contextlib.contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """A viewer that is told everything from now on; first that its list is stale, once we listen."""
        viewer = Viewer(stale=self._listening)
        self._viewers.add(viewer)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="inbox-feed")
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers and self._task:
                self._task.cancel()
                self._task = None

    def close(self) -> None:
        """End every stream, now and from now on."""
        self.closed = True
        for viewer in self._viewers:
            viewer.changed.set()
        for act in self._on_close:
            act()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._pool.acquire(timeout=5.0) as connection:
                    await self._follow(connection)
            except engine.AWAY as error:
                log.info("The inbox feed lost Postgres (%s); trying again every %g s.", error, AGAIN)
            await engine.pause(AGAIN)

    async def _follow(self, connection: Any) -> None:
        """Pass on what this connection hears, until it breaks."""
        lost = asyncio.Event()

        def ended(_: Any) -> None:
            lost.set()

        connection.add_termination_listener(ended)
        await connection.add_listener(inbox.CHANNEL, self._heard)
        try:
            self._listening = True
            self._tell(None)  # for what came while nobody listened
            while not lost.is_set():
                await connection.execute("select 1", timeout=5.0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE):
                        await lost.wait()
        finally:
            self._listening = False
            connection.remove_termination_listener(ended)
            await connection.remove_listener(inbox.CHANNEL, self._heard)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        try:
            self._tell(UUID(payload))
        except ValueError:
            self._tell(None)

    def _tell(self, message_id: UUID | None) -> None:
        for viewer in self._viewers:
            viewer.tell(message_id)
