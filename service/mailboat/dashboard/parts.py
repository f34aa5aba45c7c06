"""Are the parts of Mailboat there? One line each, for the first steps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from mailboat.settings import Settings


class Check(msgspec.Struct, frozen=True):
    """One part: `state` is ok, info, warn or bad."""

    state: str
    name: str
    detail: str


async def look(pool: asyncpg.Pool, settings: Settings) -> list[Check]:
    """Every part but the API, which answers already."""
    worker, postgres, valkey = await asyncio.gather(
        _worker(pool, settings.lease_seconds), _postgres(pool), _valkey(settings.redis_url)
    )
    return [worker, postgres, valkey, _templates(settings.templates), _provider(settings.default_route)]


async def _worker(pool: asyncpg.Pool, lease: float) -> Check:
    alive, silent = await pool.fetchrow(
        """select count(*), extract(epoch from clock_timestamp() - max(heartbeat_at))::float8
           from workers where heartbeat_at > clock_timestamp() - make_interval(secs => $1)""",
        lease,
    )
    if not alive:
        return Check("bad", "Worker", "none is running: mail waits in the queue")
    return Check("ok", "Worker", f"{alive:,}, last heartbeat {max(silent, 0):.1f}\u202fs ago")


async def _postgres(pool: asyncpg.Pool) -> Check:
    version: str = await pool.fetchval("show server_version")
    return Check("ok", "Postgres", version.split()[0])


async def _valkey(url: str) -> Check:
    client = redis.asyncio.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        await client.ping()
    except (RedisError, OSError):
        return Check("warn", "Valkey", "does not answer: mail goes on, a few seconds later")
    finally:
        await client.aclose()
    return Check("ok", "Valkey", "answers")


def _templates(folder: str) -> Check:
    if Path(folder).is_dir():
        return Check("ok", "Templates", f"in {folder}")
    return Check("bad", "Templates", f"the folder {folder} is not there")


def _provider(route: list[str]) -> Check:
    if route == ["inbox"]:
        return Check("info", "Provider", "inbox only")
    return Check("ok", "Provider", ", then ".join(route))
