"""What the API's endpoints work with: made once, connected in the background."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

import asyncpg
import structlog

from mailboat import metrics
from mailboat.api.authenticate import Authenticator
from mailboat.api.bodies import Bodies
from mailboat.db import engine, listen
from mailboat.delivery import attach, suppressions
from mailboat.delivery.accept import Acceptor, unavailable
from mailboat.delivery.backlog import Backlog
from mailboat.delivery.batcher import Batcher
from mailboat.delivery.ring import Doorbell
from mailboat.limits.bucket import Buckets, Decision, Rate
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.registry.mount import Mount
from mailboat.settings import Settings
from mailboat.telemetry import Traces

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from sqlalchemy.ext.asyncio import AsyncEngine

    from mailboat.api.expected import Expected
    from mailboat.dashboard import Feed
    from mailboat.delivery.fetch import Fetcher
    from mailboat.delivery.record import Receipts
    from mailboat.delivery.unsubscribe import Links
    from mailboat.render.pools import Pools

log = structlog.get_logger()
POOL_SIZE = 8
PROMPT_SECONDS = 0.7  # for what a request has to ask Postgres before its message can be stored
STORING_SECONDS = 3.0  # for the contents of attachments


class Context:
    """The API's connections and the verbs over them."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool) -> None:
        self.settings, self.pool = settings, pool
        self.traces = Traces("api")
        self.redis: Redis | None = None
        self.doorbell, self._buckets = Doorbell(), Buckets()
        self.prompt = prompt = engine.Prompt(pool, PROMPT_SECONDS)
        self.bodies = Bodies(settings.bodies_bytes, settings.max_body_bytes, settings.body_seconds)
        # Apart, since FastAPI reads before it asks who calls: strangers must not take the room of mail.
        self.other_bodies = Bodies(settings.bodies_bytes // 4, settings.max_body_bytes, settings.body_seconds)
        self.authenticator = Authenticator(pool)
        self.catalog = Catalog(Folder(settings.templates), prompt, Mount(settings.mounted))
        self.attachments = attach.Store(engine.Prompt(pool, STORING_SECONDS))
        self.acceptor = Acceptor(settings.database_url, self.doorbell)
        self.guard = suppressions.Guard(prompt)
        self._backlog = Backlog(pool, settings.lease_seconds)
        self._takes: Batcher[Rate, Decision] = Batcher([self._buckets.take_many])
        self._follower = asyncio.create_task(self._follow())

    @classmethod
    async def open(cls, settings: Settings) -> Context:
        """Connect to Postgres, as soon as it is there."""
        pool = await engine.pool(settings.database_url, name="mailboat-api", size=POOL_SIZE)
        context = cls(settings, pool)
        waiting = False
        while True:
            try:
                await context.acceptor.start()
            except engine.AWAY as error:
                if not waiting:
                    log.warning("postgres is away", error=str(error) or type(error).__name__)
                waiting = True
                await engine.pause(0.2)
            else:
                log.info("ready", url=settings.url)
                return context

    def attach(self, redis: Redis) -> None:
        """Ring and count in Valkey from now on; until then buckets are local and the reconciler finds the mail."""
        self.redis = self.doorbell.redis = self._buckets.redis = redis

    async def _follow(self) -> None:
        def connected(yes: bool) -> None:
            self.authenticator.listening(yes)
            self.guard.listening(yes)
            self.catalog.forget()
            self._provider_changed()

        channels = {
            "mailboat_clients": lambda payload: self.authenticator.forget(int(payload)),
            "mailboat_templates": self.catalog.forget,
            "mailboat_providers": self._provider_changed,
            suppressions.CHANNEL: self.guard.added,
        }
        await listen.follow(self.settings.database_url, "mailboat-listen", channels, connected)

    @cached_property
    def orm(self) -> AsyncEngine:
        """SQLAlchemy over the same database, for the admin side."""
        return engine.orm(self.settings.database_url)

    @cached_property
    def renderer(self) -> Pools:
        """Render processes for previews; they start with the first one."""
        from mailboat.render import artifacts
        from mailboat.render.pools import Pools

        return Pools(1, artifacts=artifacts.of(self.settings, self.redis))

    @cached_property
    def feed(self) -> Feed:
        """The dashboard's live news of the inbox."""
        from mailboat.dashboard import Feed

        return Feed(self.pool)

    @cached_property
    def links(self) -> Links | None:
        """Makes and follows unsubscribe links; None where there are none."""
        from mailboat.delivery.unsubscribe import Links

        return Links.from_settings(self.settings)

    @cached_property
    def fetcher(self) -> Fetcher:
        """Gets the files that requests name by URL. Raises ConfigurationError."""
        from mailboat import egress
        from mailboat.delivery.fetch import Fetcher

        client = egress.Client(egress.networks(self.settings.egress_allow))
        return Fetcher(client, self.settings.max_body_bytes)

    @cached_property
    def expected(self) -> Expected:
        """Whose webhooks are expected. Raises ConfigurationError."""
        from mailboat.api.expected import Expected

        return Expected(self.settings, self.pool)

    def _provider_changed(self, place: str = "") -> None:
        if "expected" in self.__dict__:
            self.expected.forget(place)

    @cached_property
    def receipts(self) -> Receipts:
        """Where verified webhooks are kept."""
        from mailboat.delivery.record import Receipts

        return Receipts(self.pool)

    async def take(self, rate: Rate) -> Decision:
        """One token from the client's bucket, or the time until there is one."""
        return await self._takes.submit(rate)

    async def refresh_gauges(self) -> None:
        """What is counted when somebody looks."""
        metrics.ACCEPT_WAITING.set(self.acceptor.waiting)
        metrics.BODY_BYTES.set(self.bodies.octets + self.other_bodies.octets)
        await self._backlog.refresh()

    async def check(self) -> None:
        """Raises Problem 503 unless Postgres answers and is migrated."""
        try:
            await self.pool.fetchval("select 1 from queue limit 1", timeout=2)
        except engine.AWAY as error:
            raise unavailable(f"the database is away ({type(error).__name__})") from None

    def stop_streams(self) -> None:
        """End the answers that have no end of their own, so that the server can stop."""
        if "feed" in self.__dict__:
            self.feed.close()

    async def close(self) -> None:
        self.stop_streams()
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        await self.acceptor.close()
        await self.guard.close()
        self.bodies.close()
        self.other_bodies.close()
        if "fetcher" in self.__dict__:
            await self.fetcher.close()
        if "receipts" in self.__dict__:
            await self.receipts.close()
        await self._takes.close()
        self.authenticator.close()
        if "renderer" in self.__dict__:
            await self.renderer.close()
        if self.redis is not None:
            await self.redis.aclose()
        await engine.close(self.pool)
        self.traces.close()
