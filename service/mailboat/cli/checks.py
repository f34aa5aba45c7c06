"""The checks of `mailboat doctor` on the parts of an installation, but for DNS. Each looks and changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
from redis.exceptions import RedisError

from mailboat.cli.findings import Finding, fail, graded, ok, skip, warn
from mailboat.db import engine, migrate, partitions, valkey
from mailboat.db.states import Lane, State
from mailboat.declare.seal import Sealer
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.errors import ConfigurationError, ProviderError, TemplateFault
from mailboat.providers import records
from mailboat.providers.base import Provider
from mailboat.providers.registry import of_settings
from mailboat.registry.folder import Folder
from mailboat.render import base, confine
from mailboat.render.base import Job
from mailboat.render.pools import Pools
from mailboat.settings import Settings

PROVIDER_SECONDS = 15.0
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
GIGABYTE = 1e9
# What stands in the way of an answer about the schema.
REFUSALS = (*engine.AWAY, asyncpg.PostgresError)

_QUEUE = f"""
select lane, extract(epoch from now() - min(run_at))::float8 as age from queue where state = {State.QUEUED}
group by lane
"""
_STOPPED = f"""
select count(*) filter (where state = {State.DEAD}) as dead, count(*) filter (where state = {State.HELD}) as held
from queue where state in (4, 5, 7)
"""
_WORKERS = "select count(*) from workers where heartbeat_at > now() - $1 * interval '1 second'"
_SENDERS = "select distinct unnest(senders) from clients where not suspended"


async def settings(chosen: Settings) -> AsyncIterator[Finding]:
    """What the settings leave open."""
    yield ok("settings", f"the API is {chosen.url}, mail goes by {', '.join(chosen.default_route)}")
    if not chosen.admin_token:
        yield warn("settings admin", "no admin token: /admin is off", "set MAILBOAT_ADMIN_TOKEN")
    if chosen.host not in LOOPBACK and not chosen.public_url:
        yield warn("settings url", "callers are told no public address", "set MAILBOAT_PUBLIC_URL")
    if chosen.unsubscribe_key and not chosen.public_url.startswith("https://"):
        yield warn(
            "settings unsubscribe",
            f"links lead to {chosen.url}; mail programs ask for https",
            "set MAILBOAT_PUBLIC_URL",
        )


async def postgres(pool: asyncpg.Pool) -> AsyncIterator[Finding]:
    """Whether it answers, and its version. The other checks of it need this one."""
    try:
        number = int(await pool.fetchval("show server_version_num", timeout=5))
    except REFUSALS as error:
        yield fail("postgres", f"no answer: {error or type(error).__name__}", "start it, or correct DATABASE_URL")
        return
    version = f"PostgreSQL {number // 10000}.{number % 10000}"
    if number < migrate.OLDEST:
        yield fail("postgres", f"{version} is too old", "use 15 or newer")
    else:
        yield ok("postgres", version)


async def schema(pool: asyncpg.Pool) -> AsyncIterator[Finding]:
    """Migrations at head, partitions ahead."""
    try:
        there = await pool.fetchval("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        there = None
    head = migrate.head()
    if there != head:
        yield fail(
            "migrations", f"the schema is at {there or 'nothing'}, this Mailboat needs {head}", "mailboat migrate"
        )
    else:
        yield ok("migrations", f"at {head}")
    today = datetime.now(UTC).date().replace(day=1)
    months = [partitions.month_after(today, ahead) for ahead in range(2)]
    wanted = [partitions.name(table, month) for month in months for table in partitions.PARTITIONED]
    missing = await pool.fetch("select n from unnest($1::text[]) n where to_regclass(n) is null", wanted)
    names = ", ".join(row[0] for row in missing)
    if names:
        yield fail("partitions", f"missing: {names}", "mailboat migrate, and see that a worker runs: it makes them")
    else:
        yield ok("partitions", f"there until {partitions.month_after(today, 2):%B %Y}")


async def clock(pool: asyncpg.Pool) -> AsyncIterator[Finding]:
    """This machine's against the database's, as far as the way there lets one tell."""
    before = time.time()
    there = (await pool.fetchval("select clock_timestamp()")).timestamp()
    after = time.time()
    skew = max(0.0, before - there, there - after)
    yield graded(
        "clock",
        skew,
        f"{skew:.1f} s from the database's",
        warn_at=1.0,
        fail_at=30.0,
        remedy="let both machines follow NTP",
    )


async def queue(pool: asyncpg.Pool, lease: float) -> AsyncIterator[Finding]:
    """Lag per lane, what stopped, and who works."""
    live = await pool.fetchval(_WORKERS, lease)
    if live:
        yield ok("workers", f"{live} with a fresh heartbeat")
    else:
        yield fail("workers", "none has a fresh heartbeat: no mail is sent", "start `mailboat worker`")
    ages = {row["lane"]: row["age"] for row in await pool.fetch(_QUEUE)}
    for lane in Lane:
        age = max(0.0, ages.get(lane, 0.0))
        yield graded(
            f"queue {lane.word}",
            age,
            f"the first message has waited {age:.0f} s" if lane in ages else "nothing waits",
            warn_at=60.0,
            fail_at=600.0,
            remedy="start more workers, or see which provider is slow",
        )
    stopped = await pool.fetchrow(_STOPPED)
    for word in ("dead", "held"):
        if stopped[word]:
            yield warn(
                word,
                f"{stopped[word]} messages",
                f"mailboat dlq list --status {word}; then replay, release or fail them",
            )
        else:
            yield ok(word, "none")


async def hints(url: str) -> AsyncIterator[Finding]:
    """Valkey: whether it answers, forgets, and can write. It holds hints only, so nothing here loses mail."""
    client = valkey.client(url)
    try:
        await client.ping()
        yield ok("valkey", "it answers")
        memory, saving = await client.info("memory"), await client.info("persistence")
    except (RedisError, OSError) as error:
        yield warn(
            "valkey",
            f"no answer: {str(error) or type(error).__name__}; mail goes on, slower, and limits count per process",
            "start it, or correct REDIS_URL",
        )
        return
    finally:
        await client.aclose()
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        yield warn("valkey eviction", f"{policy} may forget limits and hints", "set maxmemory-policy noeviction")
    else:
        yield ok("valkey eviction", policy)
    if saving.get("rdb_last_bgsave_status") == "err" or saving.get("aof_last_write_status") == "err":
        yield warn("valkey persistence", "its last save failed, and it may refuse writes", "see its log; give it disk")
    else:
        yield ok("valkey persistence", "no fault (none is needed: it holds hints only)")


_WALLS = {
    "seccomp": (
        "a template that broke out of its engine could ask the kernel for sockets and programs",
        "take a kernel with CONFIG_SECCOMP_FILTER, and let the container call seccomp (seccompProfile: RuntimeDefault)",
    ),
    "landlock": (
        "a template that broke out of its engine could read the files that Mailboat can read",
        "take Linux 5.13 or newer with landlock among its lsm=, and a container that may call it; seccomp still stands",
    ),
}
"""Of each wall around render processes: what can happen without it, and what to do."""


async def containment() -> AsyncIterator[Finding]:
    """The walls of the kernel's around render processes, as they would be on this machine."""
    for name, why in confine.WALLS.items():
        if reason := why():
            harm, remedy = _WALLS[name]
            yield warn(f"containment {name}", f"missing ({reason}): {harm}", remedy)
        else:
            yield ok(f"containment {name}", "stands around render processes")


async def templates(root: str) -> AsyncIterator[Finding]:
    """Each template of the folder, rendered with its example."""
    folder = Folder(root)
    if not folder.root.is_dir():
        yield skip("templates", f"there is no folder {root!r} (MAILBOAT_TEMPLATES)")
        return
    jobs: dict[str, Job] = {}
    for name in folder.names():
        try:
            loaded = folder.load(name, strict=True)
        except (TemplateFault, OSError) as fault:
            yield _broken(name, fault)
        else:
            if loaded is not None:
                jobs[name] = Job(loaded[0], base.example(loaded[0].sources))
    pools = Pools(1)
    try:
        outcomes = dict(zip(jobs, await pools.render(list(jobs.values())), strict=True)) if jobs else {}
    finally:
        await pools.close()
    sound = [name for name, outcome in outcomes.items() if isinstance(outcome, Rendered)]
    for name, outcome in outcomes.items():
        if isinstance(outcome, Exception) and _has_example(jobs[name].revision.sources):
            yield _broken(name, outcome)
        elif isinstance(outcome, Exception):
            yield warn(f"template {name}", f"without data: {outcome}", "give it an example, so that it can be tried")
    yield ok("templates", f"{len(sound)} render with their example: {', '.join(sound) or 'none there'}")


def _has_example(sources: Sources) -> bool:
    return bool(sources.example) or "PreviewProps" in sources.files[sources.entry]


def _broken(name: str, fault: Exception) -> Finding:
    return fail(f"template {name}", str(fault), "correct it; `mailboat template check` shows the lines around")


async def providers(chosen: Settings, pool: asyncpg.Pool, reachable: bool) -> AsyncIterator[Finding]:
    """Each provider of the settings, and each declared one where Postgres answers: connected to, authenticated."""
    made: dict[str, Provider] = {}
    try:
        made |= of_settings(chosen, pool).providers
    except ConfigurationError as error:
        yield fail("providers", str(error), "correct the setting that it names")
    for record in await _declared(chosen, pool) if reachable else ():
        try:
            made[f"{record.namespace}/{record.name}"] = records.build(record, pool)
        except (ConfigurationError, msgspec.ValidationError) as error:
            yield fail(f"provider {record.namespace}/{record.name}", str(error), "correct its EmailProvider")
    for finding in await asyncio.gather(*(_provider(name, provider) for name, provider in made.items())):
        yield finding


async def _declared(chosen: Settings, pool: asyncpg.Pool) -> list[records.Record]:
    """None where the schema has no place for them, which another check says."""
    try:
        return await records.load(pool, Sealer(chosen.sealing_key).open)
    except REFUSALS:
        return []


async def _provider(name: str, provider: Provider) -> Finding:
    check = f"provider {name}"
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            return ok(check, " ".join((await provider.check()).split()))
    except ProviderError as error:
        return fail(check, str(error), "correct its address or credentials, or see the provider's status page")
    except TimeoutError:
        return fail(check, f"no answer in {PROVIDER_SECONDS:.0f} s", "see the network between here and it")
    finally:
        await provider.close()


async def disk(places: Iterable[Path]) -> AsyncIterator[Finding]:
    """Room in the folders that Mailboat writes to."""
    for place in places:
        try:
            usage = shutil.disk_usage(place)
        except OSError as error:
            yield skip(f"disk {place}", error.strerror or str(error))
            continue
        free = usage.free / usage.total
        said = f"{usage.free / GIGABYTE:.1f} GB free, {free:.0%}"
        yield graded(f"disk {place}", 1 - free, said, warn_at=0.9, fail_at=0.98, remedy="make room")


async def sender_domains(pool: asyncpg.Pool) -> set[str]:
    """The domains that clients may send as; `*` alone names none."""
    domains = {row[0].rpartition("@")[2].rstrip("> ").lower() for row in await pool.fetch(_SENDERS) if "@" in row[0]}
    return {domain for domain in domains if "." in domain and "*" not in domain}


async def signed_domains(pool: asyncpg.Pool) -> list[tuple[str, str]]:
    """Domain and selector of declared SMTP providers that sign."""
    rows = await pool.fetch(
        "select spec -> 'smtp' -> 'dkim' ->> 'domain', spec -> 'smtp' -> 'dkim' ->> 'selector' from providers "
        "where kind = 'smtp' and spec -> 'smtp' -> 'dkim' is not null"
    )
    return [(row[0], row[1] or "mailboat") for row in rows if row[0]]
