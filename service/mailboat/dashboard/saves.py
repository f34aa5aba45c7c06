"""Live news of templates, saved in the source folder or declared: one watch for all open pages, held only while
somebody looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from watchfiles import awatch

from mailboat.db import engine

AGAIN = 1.0  # seconds between looks for a folder that is not there
DEBOUNCE, STEP = 20, 10  # milliseconds
LOOK_SECONDS = 1.0  # between looks at what was declared
KEEPALIVE = 15.0  # seconds between comments on a silent stream

log = logging.getLogger(__name__)


class Saves:
    """Tells every open stream that a file was saved. Safe to make anywhere; watches from the first to the last.

    `close` ends every stream: a server waits for its answers, and a stream has no end of its own.
    """

    def __init__(self, folder: Path, declared: Callable[[], Awaitable[str]] | None = None) -> None:
        """`declared` answers otherwise once something was declared since; it may raise what `engine.AWAY` names."""
        self._folder, self._declared = folder, declared
        self._viewers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: `save` at the beginning, in case one was missed, and after each change on disk."""
        with self._viewer() as changed:
            yield "retry: 500\n\n"
            while not self._closed:
                changed.clear()
                yield "event: save\ndata:\n\n"
                while not changed.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(KEEPALIVE):
                            await changed.wait()
                    if not changed.is_set():
                        yield ": nothing new\n\n"

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closed = True
        self.tell()

    def tell(self) -> None:
        """Something was saved."""
        for viewer in self._viewers:
            viewer.set()

    @contextlib.contextmanager
    def _viewer(self) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._viewers.add(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="template-saves")
        try:
            yield changed
        finally:
            self._viewers.discard(changed)
            if not self._viewers and self._task:
                self._task.cancel()
                self._task = None

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_folder())
            if self._declared is not None:
                group.create_task(self._look(self._declared))

    async def _look(self, declared: Callable[[], Awaitable[str]]) -> None:
        known = None
        while True:
            with contextlib.suppress(*engine.AWAY):
                found = await declared()
                if known not in (None, found):
                    self.tell()
                known = found
            await engine.pause(LOOK_SECONDS)

    async def _watch_folder(self) -> None:
        while True:
            try:
                async for _ in awatch(self._folder, debounce=DEBOUNCE, step=STEP, rust_timeout=500):
                    self.tell()
            except (OSError, RuntimeError) as error:
                log.info("%s cannot be watched (%s); trying again every %g s.", self._folder, error, AGAIN)
            await asyncio.sleep(AGAIN)
