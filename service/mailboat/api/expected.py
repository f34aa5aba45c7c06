"""Whose webhooks are expected: the providers of the settings, and those that were declared, as they change."""

from __future__ import annotations

import time
from collections.abc import Iterable

import asyncpg
import structlog

from mailboat.db import engine
from mailboat.declare.seal import Sealer
from mailboat.errors import ConfigurationError
from mailboat.providers import records
from mailboat.providers.records import Record
from mailboat.settings import Settings
from mailboat.webhooks import endpoints
from mailboat.webhooks.endpoints import Endpoint, Endpoints

log = structlog.get_logger()


class Expected:
    """Asked for each webhook; looks at the table when it was told of a change, and every few seconds anyway."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool) -> None:
        """Raises ConfigurationError."""
        path = settings.providers_file
        self._pool, self._simulators = pool, settings.simulators
        self._unseal = Sealer(settings.sealing_key).open
        self._fixed = endpoints.read(path, simulators=settings.simulators) if path else Endpoints()
        self._declared = Endpoints()
        self._looked_at: float | None = None

    def forget(self, _: str = "") -> None:
        """A declared provider has changed, or any may have."""
        self._looked_at = None

    async def of(self, kind: str, name: str = "") -> list[Endpoint]:
        """Those that a path means. While Postgres is away, as they were last."""
        if self._looked_at is None or time.monotonic() - self._looked_at > records.POLL_SECONDS:
            self._looked_at = time.monotonic()
            try:
                self._declared = Endpoints(self._endpoints(await records.load(self._pool, self._unseal)))
            except engine.AWAY as error:
                log.warning("declared providers wait for postgres", error=str(error) or type(error).__name__)
                self._looked_at = None
        return [*self._declared.of(kind, name), *self._fixed.of(kind, name)]

    def _endpoints(self, found: list[Record]) -> Iterable[Endpoint]:
        for record in found:
            try:
                if (item := records.webhook(record)) is not None:
                    yield endpoints.of_manifest(item, record.place, simulators=self._simulators)
            except ConfigurationError as error:
                log.warning("declared provider expects no webhooks", provider=record.place, error=str(error))
