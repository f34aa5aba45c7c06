"""Authenticate: a key and its secret to a client.

bcrypt takes its time, so verified pairs are remembered for a minute as a keyed digest. A change to the
client or the key drops them at once (NOTIFY at commit); while that channel is not connected, nothing is remembered.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import asyncpg
import msgspec

from mailboat.db import engine
from mailboat.delivery import pairs
from mailboat.delivery.clients import Client
from mailboat.errors import Problem

REMEMBERED = 10_000
SECONDS = 60.0
SECONDS_WRONG = 5.0
MOST_WAITING = 50  # verifications in line; more are turned away, so that wrong keys cannot hold up the rest
PATIENCE_SECONDS = 1.5  # for a verification
AHEAD_SECONDS = 15.0  # before a pair is forgotten it is verified again, so that a slow Postgres is not noticed
LONGEST = 256  # characters of a key or a secret

_LOOKUP = """
select k.secret_hash, k.expires_at, c.id, c.namespace, c.name, c.suspended, c.senders, c.templates, c.lane,
       c.rate_per_minute, c.rate_burst
from client_keys k join clients c on c.id = k.client_id
where k.key = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
"""
_NOBODY = pairs.hashed(os.urandom(16).hex())  # a key that nobody has takes as long as any other


def unauthorized() -> Problem:
    """One answer for every kind of wrong, so that nobody learns which half was right."""
    return Problem(
        401,
        "unauthorized",
        "The key or its secret is wrong, expired or revoked. Send both in X-Api-Key and X-Api-Secret.",
        headers={"WWW-Authenticate": "ApiKey"},
    )


def suspended() -> Problem:
    return Problem(403, "client_suspended", "This client is suspended; ask its operator.")


class _Verified(msgspec.Struct, frozen=True):
    digest: bytes
    client: Client | None  # None: this pair is wrong
    until: float


class Authenticator:
    """Verifies pairs, remembers them, and forgets when told."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._pepper = os.urandom(32)
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._checks: dict[tuple[str, bytes], asyncio.Task[Client | None]] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._epoch = 0
        self._listening = False

    async def client(self, key: str | None, secret: str | None) -> Client:
        """The client of this pair. Raises Problem 401, 403 or 503."""
        if not key or not secret or len(key) > LONGEST or len(secret) > LONGEST:
            raise unauthorized()
        digest = hmac.digest(self._pepper, secret.encode(), "sha256")
        known = self._verified.get(key)
        if known and known.until > time.monotonic() and hmac.compare_digest(known.digest, digest):
            found = known.client
            if found and known.until - time.monotonic() < AHEAD_SECONDS:
                self._start(key, secret, digest)
        else:
            found = await self._single_flight(key, secret, digest)
        if found is None:
            raise unauthorized()
        if found.suspended:
            raise suspended()
        return found

    async def _single_flight(self, key: str, secret: str, digest: bytes) -> Client | None:
        check = self._start(key, secret, digest)
        if check is None:
            raise Problem(503, "unavailable", "Too many keys are being verified.", headers={"Retry-After": "1"})
        try:
            # The check goes on when this request has given up, and the next one finds its result.
            return await asyncio.wait_for(asyncio.shield(check), PATIENCE_SECONDS)
        except engine.AWAY:
            raise Problem(
                503, "unavailable", "The database is away; try again.", headers={"Retry-After": "1"}
            ) from None

    def _start(self, key: str, secret: str, digest: bytes) -> asyncio.Task[Client | None] | None:
        """The check of this pair, one at a time; None when too many are under way."""
        check = self._checks.get((key, digest))
        if check is None and len(self._checks) < MOST_WAITING:
            check = self._checks[key, digest] = asyncio.create_task(self._check(key, secret, digest))
            check.add_done_callback(lambda done: self._ended(key, digest, done))
        return check

    def _ended(self, key: str, digest: bytes, check: asyncio.Task[Client | None]) -> None:
        self._checks.pop((key, digest), None)
        if not check.cancelled():
            check.exception()  # seen, should nobody wait for it any more

    async def _check(self, key: str, secret: str, digest: bytes) -> Client | None:
        epoch = self._epoch
        row = await self._pool.fetchrow(_LOOKUP, key) if "\0" not in key else None
        stored = row["secret_hash"] if row else _NOBODY
        right = await asyncio.get_running_loop().run_in_executor(self._threads, pairs.matches, secret, stored)
        client = _client(row) if row and right else None
        if self._listening and epoch == self._epoch:
            self._remember(key, digest, client, row["expires_at"] if row else None)
        return client

    def _remember(self, key: str, digest: bytes, client: Client | None, expires_at: datetime | None) -> None:
        known = self._verified.get(key)
        if client is None and known and known.client and known.until > time.monotonic():
            return  # a wrong guess must not push out the right pair
        seconds = SECONDS if client else SECONDS_WRONG
        if client and expires_at is not None:
            seconds = min(seconds, (expires_at - datetime.now(UTC)).total_seconds())
        self._verified[key] = _Verified(digest, client, time.monotonic() + seconds)
        self._verified.move_to_end(key)
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)

    def forget(self, client_id: int | None = None) -> None:
        """This client or one of its keys has changed, or any may have (None)."""
        self._epoch += 1
        if client_id is None:
            self._verified.clear()
            return
        for key in [k for k, v in self._verified.items() if v.client is None or v.client.id == client_id]:
            del self._verified[key]

    def listening(self, connected: bool) -> None:
        """Changes are heard from now on, or not any more; either way what is remembered may be stale."""
        self._listening = connected
        self.forget()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _client(row: asyncpg.Record) -> Client:
    return Client(
        id=row["id"],
        namespace=row["namespace"],
        name=row["name"],
        suspended=row["suspended"],
        senders=tuple(row["senders"]),
        templates=tuple(row["templates"]),
        lane=row["lane"],
        rate_per_minute=row["rate_per_minute"],
        rate_burst=row["rate_burst"],
    )
