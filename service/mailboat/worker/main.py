"""The worker process: wire the parts, run taskiq's receiver over the doorbell, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from redis.asyncio import Redis
from taskiq.receiver import Receiver

from mailboat import egress, metrics
from mailboat.db import engine, partitions, statements, valkey
from mailboat.declare.seal import Sealer
from mailboat.delivery import record, ring
from mailboat.delivery.book import Booker
from mailboat.delivery.circuits import Circuits
from mailboat.delivery.claim import Claimer
from mailboat.delivery.deliver import Deliverer
from mailboat.delivery.outbound import Outbound
from mailboat.delivery.route import Routes
from mailboat.delivery.unsubscribe import Links
from mailboat.domain import retry
from mailboat.errors import MailboatError
from mailboat.limits.breaker import Breakers
from mailboat.limits.pace import Turns
from mailboat.probes import Probes
from mailboat.providers.records import Directory
from mailboat.providers.registry import of_settings
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.registry.mount import Mount
from mailboat.render import artifacts
from mailboat.render.pools import Pools
from mailboat.settings import Settings
from mailboat.telemetry import Traces, configure_logs
from mailboat.worker import thrift
from mailboat.worker.broker import DoorbellBroker
from mailboat.worker.housekeeping import Housekeeping
from mailboat.worker.owner import Owner, Watch
from mailboat.worker.reconciler import Reconciler

log = structlog.get_logger()
POOL_SIZE = 4
LAST_WORDS_SECONDS = 2.0  # for each of the statements of a stopping worker; without them others find out by themselves


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what was claimed, or give it back."""
    import uvloop

    configure_logs(settings.log_level, "worker")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    pool = await engine.pool(settings.database_url, name="mailboat-worker", size=POOL_SIZE)
    unseal = Sealer(settings.sealing_key).open
    providers = Directory(pool, *of_settings(settings, pool), unseal=unseal)
    health = Health(settings.lease_seconds, stop)
    async with Probes("worker", health.unready, health.refresh).serving(settings):
        health.owner = await _registered(settings, pool, stop)
        if health.owner is not None:
            await Worker(settings, pool, providers, health.owner).run(stop)
    await engine.close(pool)


async def _registered(settings: Settings, pool: asyncpg.Pool, stop: asyncio.Event) -> Owner | None:
    """Our row in `workers`, as soon as Postgres is there; None when told to stop before."""
    name = settings.worker_name or f"{socket.gethostname()}-{os.getpid()}"
    waiting = False
    while not stop.is_set():
        try:
            owner = await Owner.register(pool, name, settings.heartbeat_seconds, settings.lease_seconds)
            async with pool.acquire() as connection:
                await partitions.ensure(connection, datetime.now(UTC).date())
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            if not waiting:
                log.warning("postgres is away", error=str(error) or type(error).__name__)
            waiting = True
            await asyncio.sleep(0.3)
        else:
            return owner
    return None


class Health:
    """What a worker tells those who look after it: it is ready while its heartbeat is answered."""

    def __init__(self, lease: float, stop: asyncio.Event) -> None:
        self._lease, self._stop = lease, stop
        self.owner: Owner | None = None

    async def unready(self) -> str:
        """Why it is not ready; "" when it is."""
        if self._stop.is_set():
            return "This worker is stopping."
        if self.owner is None:
            return "This worker is not registered yet: Postgres is away or not migrated."
        if self.owner.silence >= self._lease:
            return f"No heartbeat was answered for {self.owner.silence:.0f} s: Postgres is away."
        return ""

    async def refresh(self) -> None:
        """Say how old the heartbeat is."""
        if self.owner is not None:
            metrics.HEARTBEAT_AGE.set(self.owner.silence)


class Worker:
    """The parts of a worker and their order of starting and stopping."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, providers: Directory, owner: Owner) -> None:
        self._settings, self._pool, self._providers, self._owner = settings, pool, providers, owner
        self._last_words = engine.Prompt(pool, LAST_WORDS_SECONDS)
        self._traces = Traces("worker")
        self._listening: Redis = valkey.client(settings.redis_url, blocking=True)
        self._redis: Redis = valkey.client(settings.redis_url)
        self._claimer = Claimer(settings.database_url, owner.id)
        self._booker = Booker(settings.database_url, owner.id)
        self._renderer = Pools(
            settings.render_processes or min(4, os.cpu_count() or 1), artifacts=artifacts.of(settings, self._redis)
        )
        self._circuits = Circuits(pool)
        self._breakers = Breakers(self._redis, self._circuits.changed)
        self._deliverer = Deliverer(
            pool=pool,
            claimer=self._claimer,
            booker=self._booker,
            catalog=Catalog(Folder(settings.templates), pool, Mount(settings.mounted)),
            renderer=self._renderer,
            routes=Routes(providers, self._breakers, Turns(self._redis), settings.default_route),
            retries=retry.Policy(settings.retry_attempts, settings.retry_base_seconds, settings.retry_cap_seconds),
            traces=self._traces,
            links=Links.from_settings(settings),
            lease=owner,
        )
        self._reconciler = Reconciler(
            pool=pool,
            redis=self._redis,
            owner=owner,
            attempts=settings.retry_attempts,
            watch=Watch(settings.lease_seconds),
            work=self._deliverer,
        )
        self._housekeeping = Housekeeping(settings, pool)
        self._egress = egress.Client(egress.networks(settings.egress_allow))
        unseal = Sealer(settings.sealing_key).open
        self._outbound = Outbound(
            pool, self._egress, unseal, owner=owner.id, lease=settings.lease_seconds, traces=self._traces
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        await self._reconciler.start()
        await self._refresh_providers()
        await self._refresh_circuits()
        background = [
            asyncio.create_task(_guard(part, name))
            for name, part in (
                ("heartbeat", self._owner.beat()),
                ("reconciler", self._reconciler.run()),
                ("housekeeping", self._housekeeping.run()),
                ("feedback", self._record()),
                ("providers", self._providers.follow(self._settings.database_url)),
                ("breakers", self._breakers.follow()),
                ("outbound", self._outbound.work()),
                ("circuits", self._circuits.follow(self._breakers)),
                ("thrift", thrift.give_back(self._deliverer.holding, thrift.trimmer())),
            )
        ]
        receiver = Receiver(
            self._broker(),
            validate_params=False,
            max_async_tasks=self._settings.worker_slots,
            wait_tasks_timeout=self._settings.drain_seconds,
        )
        gc.collect()
        gc.freeze()
        log.info("ready", worker=self._owner.name, owner=self._owner.id, providers=self._providers.names)
        await receiver.listen(stop)
        await self._drain(background)

    async def _record(self) -> None:
        await record.work(self._pool, retention_days=self._settings.retention_days, traces=self._traces)

    async def _refresh_providers(self) -> None:
        """Before the first mail: a route may name what is declared."""
        try:
            await self._providers.refresh()
        except engine.AWAY as error:
            log.warning("declared providers wait for postgres", error=str(error) or type(error).__name__)

    async def _refresh_circuits(self) -> None:
        """Before the first mail: what is open stays open."""
        for name in self._providers.names:
            self._breakers.know(name)
        await self._breakers.refresh()
        try:
            await self._circuits.obey(self._breakers)
        except engine.AWAY as error:
            log.warning("circuits wait for postgres", error=str(error) or type(error).__name__)

    def _broker(self) -> DoorbellBroker:
        broker = DoorbellBroker(self._listening, slots=self._settings.worker_slots, batch=self._settings.worker_batch)

        @broker.task(task_name="deliver")
        async def deliver(ids: list[str]) -> None:
            await self._deliver([UUID(hex=identifier) for identifier in ids])

        @broker.task(task_name="sweep")
        async def sweep(count: int) -> None:
            await self._sweep(count)

        return broker

    async def _sweep(self, count: int) -> None:
        """Without Valkey: deliver so much of what is queued in each lane, the first lane first."""
        try:
            rows = await self._pool.fetch(statements.WAITING, count // 2)
        except engine.AWAY as error:
            log.warning("sweep failed", error=str(error) or type(error).__name__)
            return
        size = self._settings.worker_batch
        for first in range(0, len(rows), size):
            await self._deliver([row["id"] for row in rows[first : first + size]])

    async def _deliver(self, ids: Sequence[UUID]) -> None:
        try:
            await self._deliverer.deliver(ids)
        except engine.AWAY as error:
            # The rows are safe: unclaimed ones are rung for again, claimed ones given back by the reconciler.
            log.warning("delivery waits for postgres", messages=len(ids), error=str(error) or type(error).__name__)
            await asyncio.sleep(0.5)

    async def _drain(self, background: list[asyncio.Task[None]]) -> None:
        """What was not sent in time goes back into the queue, what may have been is taken over; this life ends."""
        self._owner.stop_sending()
        for task in background:
            task.cancel()
        await asyncio.wait(background, timeout=LAST_WORDS_SECONDS)
        try:
            unsent = list((self._deliverer.unsent | self._deliverer.holding.keys()) - self._deliverer.sending)
            rows = await self._last_words.fetch(statements.GIVE_BACK, unsent, self._owner.id, None)
            await ring.Doorbell(self._redis).ring(
                ring.by_key((row["id"], row["client_id"], row["lane"]) for row in rows)
            )
            await self._last_words.execute(statements.RETIRE, self._owner.id)
        except engine.AWAY as error:
            log.warning("stopped without giving back", error=str(error) or type(error).__name__)
        await self._close()
        log.info("stopped", worker=self._owner.name)

    async def _close(self) -> None:
        closing: list[Coroutine[Any, Any, Any]] = [
            self._claimer.close(),
            self._booker.close(),
            self._renderer.close(),
            self._housekeeping.close(),
            self._providers.close(),
            self._egress.close(),
            self._redis.aclose(),
            self._listening.aclose(),
        ]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.warning("closing failed", error=str(outcome) or type(outcome).__name__)
        self._traces.close()


async def _guard(part: Coroutine[Any, Any, None], name: str) -> None:
    """A background part never ends by itself: a fault in one is a fault of the process, which is restarted."""
    try:
        await part
    except MailboatError as error:
        log.error("part failed", part=name, error=str(error))
        os.kill(os.getpid(), signal.SIGTERM)
    except Exception:
        log.exception("part failed", part=name)
        os.kill(os.getpid(), signal.SIGTERM)
