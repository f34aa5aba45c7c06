"""The connection to Valkey (or Redis): short timeouts, since it holds hints only."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def client(url: str, *, blocking: bool = False) -> Redis:
    """A client that gives up soon; `blocking` for one that waits in BLMPOP."""
    return Redis.from_url(
        url,
        socket_timeout=3.0 if blocking else 1.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
