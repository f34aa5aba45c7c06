"""How much a full store slows delivery down: the drain rate with an empty store and with a full one, in turns.

    python -m tests.bench.growth [--waiting 50000] [--stored 500000] [--mails 10000] [--rounds 3]

One PostgreSQL with fsync and autovacuum as they come, two databases, a real worker process each time. The full one has
`--stored` finished messages over six months with their attempts and events, and `--waiting` more: half of them
scheduled for later, half queued behind the mails that are counted. Afterwards the hot statements are explained on the
full store; one that reads a whole large table fails the run, as does a median ratio under 0.9.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from redis.asyncio import Redis
from tests.chaos.harness import Mailbox, write_templates
from tests.conftest import Postgres, Role, Valkey, in_thread

from mailboat.db import migrate, partitions, statements
from mailboat.db.states import Lane
from mailboat.delivery import backlog, query, ring, search, stopped
from mailboat.domain import identifier
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.settings import Settings

LEAST = 0.9  # of the drain rate must be left
MONTHS = 6
CLIENTS = 20
CHUNK = 250_000  # messages per statement
BULK, OTHERS = 100_000, 100
SMALL = 1000  # a table of fewer rows may be read as a whole
# Every ten minutes, for keys past their time: an index on their age would cost more, at every accept.
MAY_BE_READ = {"idempotency"}
# Durable and vacuumed, with a cache that the large store does not fit into.
POSTGRES = {
    "fsync": None,
    "full_page_writes": None,
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "512MB",
}

# UUIDv7s of evenly spaced moments. $1, $2: from which number to which, of $3 in all; $4: the first moment; $5: seconds.
_IDS = """
select g, at, h, {first} + g % {clients} as client_id,
    (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8'
        || substr(h, 4, 15))::uuid as id
from (select g, $4::timestamptz + g * ($5::float8 / $3) * interval '1 second' as at, md5(g || $4::text) as h
      from generate_series($1::bigint, $2::bigint) g) t
"""
_MESSAGES = """
    insert into messages (id, client_id, created_at, template, revision, envelope, data, tags, metadata, traceparent)
    select id, client_id, at, 'receipt', '{digest}', json_build_object(
            'sender', json_build_object('email', 'orders@shop.example.com', 'name', 'Northwind'),
            'to', json_build_array(json_build_object('email', 'ada+' || g || '@example.com', 'name', 'Ada'))),
        json_build_object('order', 'A-' || g, 'note', repeat(h, 8)),
        jsonb_build_object('flow', 'checkout'), json_build_object('cart', h),
        '00-' || h || '-' || substr(h, 1, 16) || '-01'
    from item
"""
# One in a hundred failed, one in a thousand is dead, one in a thousand held; one in fifty took a second attempt.
_STORED = f"""
with item as materialized ({_IDS}), message as ({_MESSAGES}), queued as (
    insert into queue (id, client_id, lane, state, attempts, run_at, provider, provider_message_id, error, updated_at)
    select id, client_id, g % 3,
        case when g % 1000 = 1 then 5 when g % 1000 = 2 then 7 when g % 100 = 3 then 4 else 3 end,
        1 + (g % 50 = 0)::int, at, 'smtp', h, case when g % 100 in (1, 2, 3) then '550 5.1.1 no such user' end,
        at + interval '2 seconds'
    from item
), tried as (
    insert into attempts (message_id, number, provider, outcome, detail, started_at, seconds)
    select id, n, 'smtp', case when n = 1 and g % 50 = 0 then 'retryable' when g % 100 in (1, 2, 3) then 'failed'
        else 'sent' end, '250 2.0.0 OK queued as ' || h, at + n * interval '1 second', 0.02
    from item, generate_series(1, 1 + (g % 50 = 0)::int) n
), reported as (
    insert into events (provider, event_id, recipient, event, word, reason, message_id, client_id, provider_message_id,
        at, received_at, look_at)
    select 'smtp', h, 'ada+' || g || '@example.com', 'delivered', 'delivered', '', id, client_id, h, at, at, null
    from item where g % 2 = 0
)
insert into idempotency (client_id, key, message_id, digest, created_at)
select client_id, h, id, decode(h || h, 'hex'), at from item where at > now() - interval '7 days'
"""
_QUEUED = f"""
with item as materialized ({_IDS}), message as ({_MESSAGES})
insert into queue (id, client_id, lane, state, run_at, updated_at)
select id, client_id, $6::int, $7::int, at + case $7::int when 0 then interval '1 day' else interval '0' end, now()
from item
returning id, client_id, lane
"""
_CLIENTS = """
insert into clients (namespace, name, senders, rate_per_minute)
select 'default', 'bench-' || g, '{*@shop.example.com}', 1000000 from generate_series(1, $1) g
"""


class Store:
    """One of the two databases, with a Valkey database of its own."""

    def __init__(self, name: str, dsn: str, redis_url: str, digest: str) -> None:
        self.name, self.dsn, self.redis_url = name, dsn, redis_url
        self._words = {"first": 1, "clients": CLIENTS, "digest": digest}

    async def fill(self, stored: int, waiting: int) -> None:
        """Finished messages over MONTHS, and those that wait. A new connection each time: plans grow old."""
        months = [partitions.month_after(datetime.now(UTC).date().replace(day=1), -n) for n in range(MONTHS)]
        begin = datetime(months[-1].year, months[-1].month, 1, tzinfo=UTC)
        seconds = (datetime.now(UTC) - begin).total_seconds() - 3600
        async with self.connected() as connection:
            for month in months:
                await partitions.ensure(connection, month)
        for first in range(0, stored, CHUNK):
            async with self.connected() as connection:
                last = min(stored, first + CHUNK) - 1
                await connection.execute(_STORED.format(**self._words), first, last, stored, begin, seconds)
            _say(f"\r{self.name}: {last + 1:,} of {stored:,} stored")
        for state in (0, 1):
            await self.queue(waiting // 2, state)
        _say(f", {waiting:,} wait\n")
        async with self.connected() as connection:
            await connection.execute("vacuum analyze")

    async def queue(self, count: int, state: int = 1, client: int | None = None) -> list[UUID]:
        """More that are scheduled (0), or queued (1) with the doorbell rung as accept rings it; of all the CLIENTS, or
        of one."""
        words = self._words if client is None else self._words | {"first": client, "clients": 1}
        now = datetime.now(UTC)
        redis = Redis.from_url(self.redis_url)
        async with self.connected() as connection, redis:
            values = (0, count - 1, count, now, 1.0, Lane.NORMAL, state)
            rows = await connection.fetch(_QUEUED.format(**words), *values) if count else []
            if state == 1 and rows:
                assert await ring.Doorbell(redis).ring(ring.by_key(rows))
        return [row["id"] for row in rows]

    async def clear(self) -> None:
        """The empty one is empty again; the other one keeps growing."""
        if self.name == "empty":
            async with self.connected() as connection:
                await connection.execute("truncate messages, queue, attempts")
            async with Redis.from_url(self.redis_url) as redis:
                await redis.flushdb()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.dsn, server_settings={"jit": "off"})
        try:
            yield connection
        finally:
            await connection.close()


async def drain(store: Store, mailbox: Mailbox, mails: int, templates: Path) -> float:
    """Mails per second at the SMTP server without the first and the last tenth of `mails`: start, and running dry."""
    before = mailbox.taken.total()
    async with _working(store, mailbox, templates):
        await _until(mailbox, before + mails // 10)
        begun, first = time.monotonic(), mailbox.taken.total()
        await _until(mailbox, before + mails * 9 // 10)
        return (mailbox.taken.total() - first) / (time.monotonic() - begun)


async def fairness(store: Store, mailbox: Mailbox, templates: Path) -> list[float]:
    """Seconds from the commit of each of OTHERS mails of one client until it is at the SMTP server, while BULK mails of
    another client are being sent in the same lane."""
    await store.queue(BULK, client=1)
    seconds = []
    async with _working(store, mailbox, templates):
        await _until(mailbox, mailbox.taken.total() + BULK // 100)
        for _ in range(OTHERS):
            (message,) = await store.queue(1, client=CLIENTS + 1)
            at = time.monotonic()
            async with asyncio.timeout(60):
                while message not in mailbox.first:  # noqa: ASYNC110  # another process sets no event
                    await asyncio.sleep(0.001)
            seconds.append(max(0.0, mailbox.first[message] - at))
            await asyncio.sleep(0.05)
    return sorted(seconds)


@contextlib.asynccontextmanager
async def _working(store: Store, mailbox: Mailbox, templates: Path) -> AsyncIterator[None]:
    """A worker, while it lasts."""
    settings = Settings(
        database_url=store.dsn,
        redis_url=store.redis_url,
        templates=str(templates),
        smtp_url=f"smtp://127.0.0.1:{mailbox.port}?tls=none",
        log_level="warning",
    )
    worker = Role("worker", settings, templates.parent / "worker.log", {})
    try:
        yield
    finally:
        await asyncio.to_thread(worker.stop)


async def _until(mailbox: Mailbox, count: int) -> None:
    async with asyncio.timeout(300):
        while mailbox.taken.total() < count:  # noqa: ASYNC110  # a number is no event
            await asyncio.sleep(0.005)


# --- plans

_MONTH = re.compile(r"_\d{4}_\d{2}(?=_|$)")


@dataclasses.dataclass
class Plan:
    """How one statement was answered; `whole` are the tables of which it read every row."""

    what: str
    planning: float  # milliseconds, as is
    milliseconds: float
    buffers: int
    indexes: set[str] = dataclasses.field(default_factory=set)
    whole: set[str] = dataclasses.field(default_factory=set)

    def read(self, node: dict[str, Any]) -> None:
        """This node and those under it, as far as they were executed; partitions go by the name of their table."""
        if not node["Actual Loops"]:
            return
        if "Index Name" in node:
            self.indexes.add(_MONTH.sub("", node["Index Name"]))
        rows = node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)
        if node["Node Type"] == "Seq Scan" and rows * node["Actual Loops"] > SMALL:
            self.whole.add(_MONTH.sub("", node["Relation Name"]))
        for child in node.get("Plans", ()):
            self.read(child)


class Explaining:
    """Answers as a pool does, and keeps the plan of each statement; what a statement changes is undone."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.what = ""
        self.plans: list[Plan] = []

    async def explain(self, named: Iterable[tuple[str, str, tuple[Any, ...]]]) -> None:
        for self.what, sql, values in named:
            await self.fetch(sql, *values)

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float | None = None) -> AsyncIterator[Explaining]:
        yield self

    async def fetch(self, sql: str, *values: Any, timeout: float | None = None) -> list[asyncpg.Record]:
        transaction = self._connection.transaction()
        await transaction.start()
        explained = f"explain (analyze, buffers, format json) {sql}"
        ((found,),) = await self._connection.fetch(explained, *values)
        await transaction.rollback()
        ((top),) = json.loads(found)
        root = top["Plan"]
        plan = Plan(
            self.what,
            top["Planning Time"],
            top["Execution Time"],
            root["Shared Hit Blocks"] + root["Shared Read Blocks"],
        )
        plan.read(root)
        self.plans.append(plan)
        if sql.lstrip().lower().startswith(("select", "with newest")):
            return list(await self._connection.fetch(sql, *values))
        return []

    async def fetchrow(self, sql: str, *values: Any, timeout: float | None = None) -> asyncpg.Record | None:
        return next(iter(await self.fetch(sql, *values)), None)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return (row := await self.fetchrow(sql, *values)) and row[0]


async def explain(store: Store) -> list[Plan]:
    """Every statement of the road, and what people ask for."""
    async with store.connected() as connection:
        await connection.execute("set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off")
        ids = [row[0] for row in await connection.fetch("select id from queue where state = 1 limit 64")]
        sent = [row[0] for row in await connection.fetch("select id from queue where state = 3 limit 64")]
        pool = Explaining(connection)
        await pool.explain(_road(ids))
        await connection.execute("reset all; set jit = off")
        await pool.explain(_sweeps(ids))
        for what, ask in _questions(pool, sent):
            pool.what = what
            await ask
        return pool.plans


def _road(ids: list[Any]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    yield "claim", statements.CLAIM, (ids, 1)
    yield "settled", statements.SETTLED, (ids,)
    verdict = {"number": 1, "state": 3, "delay": 0.0, "provider": "smtp", "outcome": "sent", "detail": "250 OK"}
    verdict |= {"started_at": datetime.now(UTC), "seconds": 0.02}
    columns = [[verdict.get(name)] * len(ids) for name in statements.BOOK_COLUMNS]
    yield "book", statements.BOOK, (ids, *columns[1:], 1)
    item = {
        "id": identifier.new(),
        "client_id": 1,
        "key": "k",
        "digest": b"d",
        "lane": 1,
        "envelope": "{}",
        "data": "{}",
    }
    item |= {"traceparent": ""}
    yield "accept", statements.ACCEPT, tuple([item.get(name)] for name in statements.ACCEPT_COLUMNS)


def _sweeps(ids: list[Any]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    yield "reconcile: release", statements.RELEASE_DUE, (5000,)
    yield "reconcile: ring again", statements.RING_AGAIN, (Lane.NORMAL, 2.0, 5000)
    yield "reconcile: overdue", statements.RING_AGAIN, (Lane.NORMAL, 10.0, 100)
    yield "reconcile: dead workers", statements.TAKE_OVER_DEAD, (12, [1], [datetime.now(UTC)])
    yield "reconcile: lost claims", statements.TAKE_OVER_LOST, (12, 1, ids, datetime.now(UTC))
    yield "sweep without Valkey", statements.WAITING, (128,)
    yield "forget keys", statements.FORGET_KEYS, (7,)
    yield "forget workers", statements.FORGET_WORKERS, (1000.0,)


def _questions(pool: Any, sent: list[Any]) -> Iterator[tuple[str, Any]]:
    since = datetime.now(UTC) - timedelta(days=40)
    yield "metrics", backlog.Backlog(pool, 10.0).refresh()
    yield "one message", query.message(pool, None, sent[0])
    yield "list of a client", query.page(pool, 1, query.Filter(), limit=50, cursor=None)
    yield "list, by date and lane", query.page(pool, 1, query.Filter(since=since, lane="high"), limit=50, cursor=None)
    yield "list, by status", query.page(pool, 1, query.Filter(status="delivered"), limit=50, cursor=None)
    yield "dead letters", stopped.page(pool, stopped.Filter(client="default/bench-2"), limit=50, cursor=None)
    yield "search, by recipient", search.find(pool, search.Wanted(words="ada+77@"), limit=50)
    yield "search, dead ones", search.find(pool, search.Wanted(status="dead"), limit=50)


# --- the run


async def run(arguments: argparse.Namespace, folder: Path) -> int:
    templates = folder / "templates"
    write_templates(templates)
    postgres, valkey, mailbox = Postgres(folder, **POSTGRES), Valkey(folder), Mailbox()
    postgres.start()
    valkey.start()
    await mailbox.listen()
    try:
        stores = [await _store(postgres, name, valkey.url(n), templates) for n, name in enumerate(("empty", "full"))]
        begun = time.monotonic()
        await _durably(postgres, False)
        await stores[1].fill(arguments.stored, arguments.waiting)
        await _durably(postgres, True)
        _say(f"filled in {time.monotonic() - begun:.0f} s, {_gibibytes(folder):.1f} GiB on disk\n")
        ratios = [
            await _round(stores[:: 1 - n % 2 * 2], mailbox, arguments.mails, templates) for n in range(arguments.rounds)
        ]
        plans = await explain(stores[1])
        seconds = await fairness(stores[1], mailbox, templates)
    finally:
        await mailbox.shut()
        valkey.stop()
        postgres.stop()
    _say(f"while {BULK:,} mails of one client are sent, another's in the same lane take ")
    _say(f"{seconds[OTHERS // 2] * 1000:.0f} ms (median), {seconds[OTHERS * 95 // 100] * 1000:.0f} ms (p95)\n")
    return _report(ratios, plans)


async def _store(postgres: Postgres, name: str, redis_url: str, templates: Path) -> Store:
    """A migrated database with the clients and the one template."""
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute(f'create database "{name}"')
    await connection.close()
    dsn = postgres.dsn(name)
    await asyncio.to_thread(in_thread, lambda: migrate.upgrade(dsn))
    found = Folder(templates).load("receipt")
    assert found is not None
    store = Store(name, dsn, redis_url, found[0].digest)
    async with store.connected() as connection, asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        await connection.execute(_CLIENTS, CLIENTS + 1)
        await partitions.ensure(connection, datetime.now(UTC).date())
        await Catalog(Folder(templates), pool).keep(found[0])
    return store


async def _durably(postgres: Postgres, yes: bool) -> None:
    """Filled without fsync, measured with it."""
    connection = await asyncpg.connect(postgres.dsn())
    for name in ("fsync", "full_page_writes"):
        await connection.execute(f"alter system set {name} = {'on' if yes else 'off'}")
    await connection.execute("select pg_reload_conf()")
    await connection.execute("checkpoint")
    await connection.close()


async def _round(stores: list[Store], mailbox: Mailbox, mails: int, templates: Path) -> float:
    """Full to empty: the ratio of their drain rates."""
    rates = {}
    for store in stores:
        await store.queue(mails)
        rates[store.name] = await drain(store, mailbox, mails, templates)
        await store.clear()
    ratio = rates["full"] / rates["empty"]
    _say(f"empty {rates['empty']:.0f} mails a second, full {rates['full']:.0f}: {ratio:.2f}\n")
    return ratio


def _gibibytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file()) / 2**30


def _say(text: str) -> None:
    print(text, end="", flush=True)


def _report(ratios: list[float], plans: list[Plan]) -> int:
    """The exit status: 1 when too little of the rate is left, or a statement reads a whole table."""
    for plan in plans:
        found = ", ".join([*sorted(plan.indexes), *(f"ALL OF {table}" for table in sorted(plan.whole))])
        _say(f"{plan.what:26} {plan.planning:6.2f} + {plan.milliseconds:8.2f} ms {plan.buffers:8,} buffers  {found}\n")
    ratio = statistics.median(ratios)
    whole = {table for plan in plans for table in plan.whole} - MAY_BE_READ
    _say(f"{ratio:.2f} of the drain rate is left (at least {LEAST} is wanted); read as a whole: {whole or 'nothing'}\n")
    return int(ratio < LEAST or bool(whole))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiting", type=int, default=50_000, help="messages that wait (default: 50,000)")
    parser.add_argument("--stored", type=int, default=500_000, help="finished messages (default: 500,000)")
    parser.add_argument("--mails", type=int, default=10_000, help="mails per round and store (default: 10,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    with tempfile.TemporaryDirectory(prefix="mailboat-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        return asyncio.run(run(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
