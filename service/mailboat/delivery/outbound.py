"""Outbound webhooks: what happened to a client's mail, told to the client's URLs.

A fact becomes a row of `webhook_deliveries` in the statement that stores the fact (`statements.tell`), so none is lost;
workers claim rows as they claim mail, and send each until it is answered with 2xx: at least once, for three days.
Signatures are those of Standard Webhooks.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hmac
import random
import secrets
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat import egress
from mailboat.db import engine
from mailboat.domain import identifier
from mailboat.telemetry import Traces

log = structlog.get_logger()
EVENTS = (
    "sent", "failed", "deferred", "delivered", "bounced", "rejected", "complained", "opened", "clicked", "unsubscribed",
)  # fmt: skip
TEST = "test"
WAITS, PAUSED, SENDING, DELIVERED, GIVEN_UP = 0, 1, 2, 3, 5  # states of a delivery
DELAYS = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 72000)  # seconds after each failed try: three days in all
PAUSE_FAILURES, PAUSE_SECONDS = 20, 3600  # so many in a row, over so long, pause an endpoint
SLOTS, PER_ENDPOINT = 16, 4  # deliveries at once in this process
IDLE_SECONDS = 0.5
LOST_SECONDS = 60.0  # ours in the table and not in our hands
KEPT_DAYS = 30
GONE = 410  # the answer of those who want no more

Unseal = Callable[[bytes | None, str], Mapping[str, Mapping[str, str]]]

_CLAIM = """
update webhook_deliveries set state = 2, owner = $1, attempts = attempts + 1, updated_at = now()
where id in (
    select d.id from (select id from webhook_endpoints where paused_at is null order by random()) e
    cross join lateral (
        select id from webhook_deliveries where endpoint_id = e.id and state = 0 and run_at <= now()
        order by run_at limit $3 for update skip locked
    ) d limit $2
)
returning id, endpoint_id, event, body, attempts
"""
_ENDPOINTS = "select id, url, sealed, old_secret_until > now() as old_signs from webhook_endpoints where id = any($1)"
_TRACEPARENTS = "select id, traceparent from messages where id = any($1::uuid[])"
_BOOK = """
update webhook_deliveries set state = $3, owner = null, updated_at = now(), run_at = now() + $4 * interval '1 second',
    tries = (case when jsonb_array_length(tries) < 20 then tries else tries - 0 end) || $5::jsonb
where id = $1 and state = 2 and owner = $2
"""
_WELL = """
update webhook_endpoints set failures = 0, failing_since = null where id = $1 and failures > 0
"""
# $2: pause at once; $3, $4: failures and seconds that pause it.
_UNWELL = """
with counted as (
    update webhook_endpoints set failures = failures + 1, failing_since = coalesce(failing_since, now()),
        paused_at = case when paused_at is null and ($2 or (failures + 1 >= $3
            and failing_since <= now() - $4 * interval '1 second')) then now() else paused_at end,
        paused_reason = case when paused_at is null then $5 else paused_reason end
    where id = $1 returning id, paused_at
), waiting as (
    update webhook_deliveries set state = 1 where state = 0
        and endpoint_id in (select id from counted where paused_at is not null)
)
select paused_at is not null as paused from counted
"""
# Of owners who are gone, or ours and lost on the way here. $1: own id, $2: lease, $3: seconds, $4: in our hands.
_TAKE_OVER = """
update webhook_deliveries set state = 0, owner = null, run_at = now(), updated_at = now()
where id in (select id from webhook_deliveries d where state = 2 and (
    not exists (select from workers w where w.id = d.owner and w.heartbeat_at > now() - $2 * interval '1 second')
    or (owner = $1 and updated_at < now() - $3 * interval '1 second' and id <> all($4::uuid[]))
) for update skip locked)
"""
_EXPIRE = """
update webhook_deliveries set state = 5, updated_at = now()
where state in (0, 1) and created_at < now() - interval '4 days' and updated_at < now() - interval '4 days'
"""
_FORGET = "delete from webhook_deliveries where created_at < now() - $1 * interval '1 day'"


class Delivery(msgspec.Struct, frozen=True):
    """One claimed row with its endpoint: `keys` sign. `parent` is the traceparent of its message; a test has none."""

    id: UUID
    endpoint_id: UUID
    event: str
    body: bytes
    attempt: int
    url: str
    keys: tuple[str, ...]
    parent: str | None = None


class Try(msgspec.Struct, frozen=True):
    """What came of one try: `status` is the answer's, None when there was none; `wait` what it asked for."""

    ok: bool
    status: int | None
    detail: str
    wait: float = 0.0


def new_secret() -> str:
    """A key of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The octets of a secret: base64 after whsec_, else the text itself, which a person may have chosen."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass  # not base64 after all: the text itself, as for any other secret
    return secret.encode()


def place(endpoint_id: UUID) -> str:
    """What an endpoint's secrets are sealed for."""
    return f"webhook endpoint {endpoint_id}"


def signatures(identifier: UUID, timestamp: int, body: bytes, keys: tuple[str, ...]) -> str:
    """The webhook-signature header: one signature per key, the current one first."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key_of(secret), signed, "sha256")).decode() for secret in keys)


def headers(delivery: Delivery, now: float, traceparent: str) -> dict[str, str]:
    timestamp = int(now)
    return {
        "content-type": "application/json",
        "user-agent": "mailboat",
        "webhook-id": str(delivery.id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(delivery.id, timestamp, delivery.body, delivery.keys),
        "traceparent": traceparent,
    }


def _message_id(body: str) -> UUID | None:
    """Whose mail a delivery is about; None for a test."""
    found = msgspec.json.decode(body)["data"].get("message_id")
    return UUID(found) if found else None


def next_delay(attempt: int, wait: float = 0.0, chance: float | None = None) -> float | None:
    """Seconds until the next try after this one (from 1) failed; None when it was the last."""
    if attempt > len(DELAYS):
        return None
    jitter = 0.9 + (random.random() if chance is None else chance) / 5
    return max(DELAYS[attempt - 1] * jitter, min(wait, 86400.0))


class Outbound:
    """A worker's part in telling. `owner` is its id, and its heartbeat the lease."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        client: egress.Client,
        unseal: Unseal,
        *,
        owner: int,
        lease: float,
        slots: int = SLOTS,
        traces: Traces | None = None,
    ) -> None:
        self._pool, self._client, self._unseal = pool, client, unseal
        self._traces = traces or Traces("worker", {})
        self._owner, self._lease, self._slots = owner, lease, slots
        self._holding: dict[UUID, asyncio.Task[None]] = {}
        self._look_after_at = self._forget_at = 0.0

    async def work(self) -> None:
        """Tell, for ever."""
        try:
            while True:
                taken = 0
                try:
                    await self._look_after()
                    taken = await self.take()
                except (*engine.AWAY, asyncpg.PostgresError) as error:
                    log.warning("outbound webhooks wait for postgres", error=str(error) or type(error).__name__)
                if not taken:
                    await engine.pause(IDLE_SECONDS * (0.75 + random.random() / 2))
        finally:
            await self.stop()

    async def stop(self) -> None:
        """What is on its way is let go of; another worker tells it again."""
        for task in self._holding.values():
            task.cancel()
        await asyncio.gather(*self._holding.values(), return_exceptions=True)

    async def take(self) -> int:
        """Claim what is due, as far as there is room; how many. Raises what asyncpg raises."""
        if (room := self._slots - len(self._holding)) <= 0:
            return 0
        rows = await self._pool.fetch(_CLAIM, self._owner, room, PER_ENDPOINT)
        places = {row["id"]: row for row in await self._pool.fetch(_ENDPOINTS, [row["endpoint_id"] for row in rows])}
        about = {row["id"]: _message_id(row["body"]) for row in rows}
        stored = await self._pool.fetch(_TRACEPARENTS, list({one for one in about.values() if one})) if rows else []
        parents = {row["id"]: row["traceparent"] for row in stored}
        for row in rows:
            parent = parents.get(about[row["id"]])
            task = asyncio.create_task(self._deliver(row, places.get(row["endpoint_id"]), parent))
            self._holding[row["id"]] = task
            task.add_done_callback(functools.partial(self._let_go, row["id"]))
        return len(rows)

    def _let_go(self, delivery: UUID, _: asyncio.Task[None]) -> None:
        del self._holding[delivery]

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await asyncio.gather(*self._holding.values())

    async def _deliver(self, row: asyncpg.Record, endpoint: asyncpg.Record | None, parent: str | None) -> None:
        if endpoint is None:
            return  # gone, and its deliveries with it
        try:
            kept = self._unseal(endpoint["sealed"], place(endpoint["id"]))["webhook"]
            keys = (kept["current"], kept["old"]) if endpoint["old_signs"] and "old" in kept else (kept["current"],)
            body, url = row["body"].encode(), endpoint["url"]
            delivery = Delivery(row["id"], endpoint["id"], row["event"], body, row["attempts"], url, keys, parent)
            begun = time.perf_counter()
            made = await self._try(delivery)
            await self._book(delivery, made, time.perf_counter() - begun)
        except (*engine.AWAY, asyncpg.PostgresError) as error:  # it is told again: at least once
            log.warning("outbound webhook not booked", delivery=str(row["id"]), error=str(error))
        except Exception:
            log.exception("outbound webhook failed", delivery=str(row["id"]))

    async def _try(self, delivery: Delivery) -> Try:
        about = {"delivery": str(delivery.id), "endpoint": str(delivery.endpoint_id)}
        try:
            with self._traces.span(f"webhook {delivery.event}", delivery.parent, "client", **about) as traceparent:
                told = headers(delivery, time.time(), traceparent)
                answer = await self._client.post(delivery.url, told, delivery.body)
        except (egress.Refused, egress.Failed) as error:
            return Try(False, None, str(error))
        if 200 <= answer.status < 300:
            return Try(True, answer.status, "")
        text = answer.body[:200].decode("utf-8", "replace").replace("\0", "")
        return Try(False, answer.status, f"answered {answer.status}: {text}", _wait(answer))

    async def _book(self, delivery: Delivery, made: Try, seconds: float) -> None:
        delay = None if made.ok else next_delay(delivery.attempt, made.wait)
        state = DELIVERED if made.ok else GIVEN_UP if delay is None else WAITS
        entry = {
            "at": _stamp(),
            "status": made.status,
            "detail": made.detail,
            "seconds": round(seconds, 3),
        }
        await self._pool.execute(
            _BOOK, delivery.id, self._owner, state, delay or 0.0, msgspec.json.encode([entry]).decode()
        )
        if made.ok:
            await self._pool.execute(_WELL, delivery.endpoint_id)
        else:
            gone = made.status == GONE
            paused = await self._pool.fetchval(
                _UNWELL, delivery.endpoint_id, gone, PAUSE_FAILURES, PAUSE_SECONDS, made.detail
            )
            log.warning(
                "outbound webhook",
                delivery=str(delivery.id),
                endpoint=str(delivery.endpoint_id),
                attempt=delivery.attempt,
                detail=made.detail,
                paused=bool(paused),
            )

    async def _look_after(self) -> None:
        """Now and then: what others left behind, and what is too old."""
        if time.monotonic() >= self._look_after_at:
            self._look_after_at = time.monotonic() + self._lease / 2
            await self._pool.execute(_TAKE_OVER, self._owner, self._lease, LOST_SECONDS, list(self._holding))
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + 3600
            await self._pool.execute(_EXPIRE)
            await self._pool.execute(_FORGET, KEPT_DAYS)


def _wait(answer: egress.Answer) -> float:
    """Seconds that a Retry-After asks for."""
    text = answer.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


async def tell_test(pool: asyncpg.Pool, endpoint_id: UUID) -> UUID:
    """A test event for one endpoint; its delivery's id."""
    number = identifier.new()
    body = {"type": TEST, "timestamp": _stamp(), "data": {"hello": "from Mailboat"}}
    await pool.execute(
        "insert into webhook_deliveries (id, endpoint_id, event, body) values ($1, $2, $3, $4::json)",
        number,
        endpoint_id,
        TEST,
        msgspec.json.encode(body).decode(),
    )
    return number
