"""The watcher process: what stands in the source folder becomes the live revision, as files are saved.

A file that cannot be read leaves the last good revision live, and the log says file, line and column.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import asyncpg
import structlog
from watchfiles import awatch

from mailboat import metrics
from mailboat.db import engine
from mailboat.errors import ConfigurationError, TemplateFault
from mailboat.probes import Probes
from mailboat.registry.catalog import FOLDER, FOLDER_NAMESPACE, Catalog
from mailboat.registry.folder import Folder
from mailboat.settings import Settings
from mailboat.telemetry import configure_logs

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Watch until SIGTERM or SIGINT."""
    configure_logs(settings.log_level, "watcher")
    asyncio.run(_watch(settings))


async def _watch(settings: Settings) -> None:
    folder = Folder(settings.templates)
    if not folder.root.is_dir():
        raise ConfigurationError(f"MAILBOAT_TEMPLATES={settings.templates!r}: there is no such folder.")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pool = await engine.pool(settings.database_url, name="mailboat-watcher", size=1)
    publisher = Publisher(folder, Catalog(folder, pool))
    async with Probes("watcher", publisher.unready).serving(settings):
        await publisher.publish_until(stop)
        async for _ in _looks(folder, stop):
            await publisher.publish_until(stop)
    await asyncio.wait_for(pool.close(), 5)


async def _looks(folder: Folder, stop: asyncio.Event) -> AsyncIterator[None]:
    """Whenever it is time to look at the folder: after a save, and once a second for what is not noticed."""
    while not stop.is_set():
        watched = folder.root
        try:
            async for _ in awatch(
                watched, stop_event=stop, step=20, debounce=100, rust_timeout=1000, yield_on_timeout=True
            ):
                yield
                if folder.root != watched or not watched.is_dir():
                    break
        except (OSError, RuntimeError) as error:  # too many folders for the kernel, for one
            log.warning("the folder cannot be watched, only looked at once a second", error=str(error))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await stop.wait()
        if not stop.is_set():
            yield


class Publisher:
    """Compares the folder with what it published last; an unchanged folder costs a few stats and no query."""

    def __init__(self, folder: Folder, catalog: Catalog) -> None:
        self._folder, self._catalog = folder, catalog
        self._published: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._up_to_date = False

    async def unready(self) -> str:
        """Why it is not ready; "" when it is."""
        return "" if self._up_to_date else "The folder is not published yet: Postgres is away or not migrated."

    async def publish_until(self, stop: asyncio.Event) -> None:
        """Publish; while Postgres is away, try again until told to stop."""
        while not stop.is_set():
            try:
                await self.publish()
            except (*engine.AWAY, asyncpg.PostgresError) as error:
                self._up_to_date = False
                log.warning("publishing waits for postgres", error=str(error) or type(error).__name__)
                await asyncio.sleep(1)
            else:
                self._up_to_date = True
                return

    async def publish(self) -> None:
        """Every template that has changed becomes the live one of its name. Raises what `engine.AWAY` names."""
        names = self._folder.names()
        for name in names:
            await self._publish(name)
        metrics.BROKEN.set(len(self._faults))
        if gone := set(self._published) - set(names):
            await self._catalog.withdraw_all_but(names)
            for name in gone:
                del self._published[name]
                log.info("template gone", template=name)

    async def _publish(self, name: str) -> None:
        try:
            loaded = self._folder.load(name, strict=True)
        except (TemplateFault, OSError) as fault:
            if self._faults.get(name) != str(fault):
                self._faults[name] = str(fault)
                log.warning("template is broken; the last good revision stays live", template=name, fault=str(fault))
            return
        self._faults.pop(name, None)
        if loaded is not None and self._published.get(name) != loaded[0].digest:
            await self._catalog.publish(FOLDER_NAMESPACE, loaded[0], FOLDER)
            self._published[name] = loaded[0].digest
            metrics.PUBLISHED.inc()
            log.info("template published", template=name, revision=loaded[0].digest)
