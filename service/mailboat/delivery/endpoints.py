"""Endpoints: the URLs that a client wants told of its mail, and what became of telling them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from mailboat import egress
from mailboat.delivery import outbound
from mailboat.domain import identifier
from mailboat.errors import ConfigurationError, Problem

MOST = 10  # of one client
AT_ONCE = 1000  # deliveries per replay
STATES = {0: "waiting", 1: "paused", 2: "sending", 3: "delivered", 5: "failed"}

Secrets = Mapping[str, Mapping[str, str]]
Seal = Callable[[Secrets, str], bytes | None]
Unseal = Callable[[bytes | None, str], Secrets]

_COLUMNS = """
id, url, events, origin, failures, failing_since, paused_at, paused_reason, old_secret_until, created_at, updated_at
"""
_LIST = f"select {_COLUMNS} from webhook_endpoints where client_id = $1 order by created_at, id"
_ONE = f"select {_COLUMNS} from webhook_endpoints where client_id = $1 and id = $2"
_ADD = f"""
insert into webhook_endpoints (id, client_id, url, events, sealed)
select $2, $1, $3, $4, $5 where (select count(*) from webhook_endpoints where client_id = $1) < {MOST}
on conflict (client_id, url) do nothing returning {_COLUMNS}
"""
_CHANGE = f"""
update webhook_endpoints set url = coalesce($3, url), events = coalesce($4::text[], events), updated_at = now()
where client_id = $1 and id = $2 returning {_COLUMNS}
"""
_SEALED = "select sealed, paused_reason from webhook_endpoints where client_id = $1 and id = $2"
_ROTATE = f"""
update webhook_endpoints set sealed = $3, old_secret_until = now() + $4 * interval '1 second', updated_at = now()
where client_id = $1 and id = $2 returning {_COLUMNS}
"""
_REMOVE = "delete from webhook_endpoints where client_id = $1 and id = $2"
_PAUSE = f"""
with waiting as (update webhook_deliveries set state = 1 where endpoint_id = $2 and state = 0)
update webhook_endpoints set paused_at = coalesce(paused_at, now()), paused_reason = coalesce(paused_reason, $3)
where client_id = $1 and id = $2 returning {_COLUMNS}
"""
_RESUME = f"""
with waiting as (
    update webhook_deliveries set state = 0, run_at = now(), updated_at = now() where state = 1
        and endpoint_id = (select id from webhook_endpoints where client_id = $1 and id = $2)
)
update webhook_endpoints set paused_at = null, paused_reason = null, failures = 0, failing_since = null
where client_id = $1 and id = $2 returning {_COLUMNS}
"""
_LOG = """
select id, event, state, attempts, run_at, tries, body, created_at, updated_at from webhook_deliveries
where endpoint_id = $1 and ($2::smallint is null or state = $2)
    and ($3::uuid is null or (created_at, id) < (select created_at, id from webhook_deliveries where id = $3))
order by created_at desc, id desc limit $4
"""
_REPLAY = """
update webhook_deliveries set state = 0, attempts = 0, run_at = now(), updated_at = now()
where id in (select id from webhook_deliveries where endpoint_id = $1 and state in (3, 5)
    and ($2::uuid = id or ($2 is null and state = 5)) order by created_at limit $3 for update skip locked)
"""
LATEST = 200  # deliveries that are counted in a list of endpoints
_EVERYBODYS = f"""
select w.{_COLUMNS.strip().replace(", ", ", w.")}, c.namespace, c.name as client, d.delivered, d.failed, d.waiting
from webhook_endpoints w join clients c on c.id = w.client_id
cross join lateral (
    select count(*) filter (where state = 3) as delivered, count(*) filter (where state = 5) as failed,
        count(*) filter (where state in (0, 1, 2)) as waiting
    from (select state from webhook_deliveries where endpoint_id = w.id order by created_at desc, id desc
          limit {LATEST}) as latest
) as d
where $1 = '' or strpos(lower(w.url), $1) > 0 or strpos(lower(c.namespace || '/' || c.name), $1) > 0
order by c.namespace, c.name, w.created_at, w.id offset $2 limit $3
"""
_OWNER = """
select c.id, c.namespace, c.name from webhook_endpoints w join clients c on c.id = w.client_id where w.id = $1
"""
_LACK = """
with waiting as (update webhook_deliveries set state = 1 where endpoint_id = $1 and state = 0)
update webhook_endpoints set paused_at = coalesce(paused_at, now()), paused_reason = $2 where id = $1
"""
_DECLARED = (
    "select id, url, events, sealed, paused_reason from webhook_endpoints where client_id = $1 and origin = 'resource'"
)
_NUMBER = "select id from webhook_endpoints where client_id = $1 and url = $2"
_DECLARE = """
insert into webhook_endpoints (id, client_id, url, events, sealed, origin) values ($1, $2, $3, $4, $5, 'resource')
on conflict (client_id, url) do update set events = excluded.events, sealed = excluded.sealed, origin = 'resource',
    old_secret_until = null, updated_at = now()
"""


class Wanted(NamedTuple):
    """An endpoint as a resource declares it. Without a secret (None) `lacks` says why."""

    url: str
    events: tuple[str, ...]
    secret: str | None
    lacks: str = ""


class Endpoints:
    """One client's endpoints. `seal` and `unseal` keep their secrets; all methods raise what `engine.AWAY` names."""

    def __init__(self, pool: asyncpg.Pool, client_id: int, seal: Seal, unseal: Unseal) -> None:
        self._pool, self._client, self._seal, self._unseal = pool, client_id, seal, unseal

    async def list(self) -> list[dict[str, Any]]:
        return [_shown(row) for row in await self._pool.fetch(_LIST, self._client)]

    async def get(self, endpoint: UUID) -> dict[str, Any]:
        """Raises Problem 404."""
        return _shown(_there(await self._pool.fetchrow(_ONE, self._client, endpoint)))

    async def add(self, url: str, events: Sequence[str]) -> dict[str, Any]:
        """A new endpoint with its secret. Raises Problem 409 and 422."""
        _check(url)
        number, secret = identifier.new(), outbound.new_secret()
        sealed = self._seal({"webhook": {"current": secret}}, outbound.place(number))
        row = await self._pool.fetchrow(_ADD, self._client, number, url, list(events), sealed)
        if row is None:
            raise Problem(
                409,
                "already_exists",
                f"This client has this URL already, or {MOST} endpoints: change one.",
                field="url",
            )
        return _shown(row) | {"secret": secret}

    async def change(self, endpoint: UUID, url: str | None, events: Sequence[str] | None) -> dict[str, Any]:
        """Raises Problem 404, 409 and 422."""
        if url is not None:
            _check(url)
        wanted = None if events is None else list(events)
        try:
            return _shown(_there(await self._pool.fetchrow(_CHANGE, self._client, endpoint, url, wanted)))
        except asyncpg.UniqueViolationError:
            raise Problem(409, "already_exists", "Another endpoint has this URL.", field="url") from None

    async def rotate(self, endpoint: UUID, overlap_seconds: float) -> dict[str, Any]:
        """A new secret; the one before signs beside it for so long. Raises Problem 404."""
        where = outbound.place(endpoint)
        old = await self._secret(endpoint)
        secret = outbound.new_secret()
        again = self._seal({"webhook": {"current": secret, "old": old}}, where)
        row = await self._pool.fetchrow(_ROTATE, self._client, endpoint, again, overlap_seconds)
        return _shown(_there(row)) | {"secret": secret}

    async def remove(self, endpoint: UUID) -> None:
        """Raises Problem 404."""
        if await self._pool.execute(_REMOVE, self._client, endpoint) == "DELETE 0":
            raise _missing()

    async def pause(self, endpoint: UUID) -> dict[str, Any]:
        """Keep what happens, and tell it later. Raises Problem 404."""
        await self.get(endpoint)
        return _shown(_there(await self._pool.fetchrow(_PAUSE, self._client, endpoint, "paused by its client")))

    async def resume(self, endpoint: UUID) -> dict[str, Any]:
        """Tell what waits, at once. Raises Problem 404, and 409 where nothing can be signed."""
        await self._secret(endpoint)
        return _shown(_there(await self._pool.fetchrow(_RESUME, self._client, endpoint)))

    async def test(self, endpoint: UUID) -> UUID:
        """Send a test event; the delivery's id. Raises Problem 404, and 409 while the endpoint is paused."""
        if (await self.get(endpoint))["paused_at"] is not None:
            raise Problem(409, "wrong_state", "The endpoint is paused: resume it first.")
        return await outbound.tell_test(self._pool, endpoint)

    async def log(self, endpoint: UUID, *, state: str | None, limit: int, cursor: UUID | None) -> dict[str, Any]:
        """`{"items": […], "next": id or None}`, the newest first. Raises Problem 404."""
        await self.get(endpoint)
        number = next((number for number, word in STATES.items() if word == state), None)
        rows = await self._pool.fetch(_LOG, endpoint, number, cursor, limit + 1)
        following = rows[limit - 1]["id"] if len(rows) > limit else None
        return {"items": [_delivery(row) for row in rows[:limit]], "next": following}

    async def replay(self, endpoint: UUID, delivery: UUID | None) -> int:
        """Tell one delivery again, or all that failed; how many. Raises Problem 404."""
        await self.get(endpoint)
        done = await self._pool.execute(_REPLAY, endpoint, delivery, AT_ONCE)
        return int(done.removeprefix("UPDATE "))

    async def _secret(self, endpoint: UUID) -> str:
        """Raises Problem 404, and 409 for a declared endpoint whose Secret lacks the key."""
        row = _there(await self._pool.fetchrow(_SEALED, self._client, endpoint))
        found = self._unseal(row["sealed"], outbound.place(endpoint))["webhook"].get("current")
        if found is None:
            raise Problem(409, "wrong_state", f"The endpoint has no secret to sign with: {row['paused_reason']}")
        return found


async def everybodys(pool: asyncpg.Pool, words: str, *, skip: int, limit: int) -> list[dict[str, Any]]:
    """Endpoints of every client whose name or URL has these words, each with its `namespace`, its `client`, and how
    many of its LATEST deliveries were `delivered`, `failed` and are `waiting`."""
    return [_shown(row) for row in await pool.fetch(_EVERYBODYS, words.lower(), skip, limit)]


async def owner(pool: asyncpg.Pool, endpoint: UUID) -> tuple[int, str, str]:
    """The id, namespace and name of the client that an endpoint belongs to. Raises Problem 404."""
    return tuple(_there(await pool.fetchrow(_OWNER, endpoint)))


async def declare(
    connection: asyncpg.Connection, client_id: int, wanted: Sequence[Wanted], seal: Seal, unseal: Unseal
) -> bool:
    """Make the declared endpoints of a client these; those made through the API stay. True when something changed.

    One without a secret keeps the secret that it had; one that never had any is paused, so that what happens meanwhile
    is told once it has.
    """
    rows = {row["url"]: row for row in await connection.fetch(_DECLARED, client_id)}
    touched = False
    for one in wanted:
        touched |= await _declare(connection, client_id, one, rows.pop(one.url, None), seal, unseal)
    for row in rows.values():
        await connection.execute(_REMOVE, client_id, row["id"])
        touched = True
    return touched


async def _declare(
    connection: asyncpg.Connection, client_id: int, one: Wanted, row: asyncpg.Record | None, seal: Seal, unseal: Unseal
) -> bool:
    """One of them; `row` is what was declared under its URL before. True when something changed."""
    number = row["id"] if row is not None else await connection.fetchval(_NUMBER, client_id, one.url)
    kept = _kept(row, unseal) if row is not None else None
    if one.secret is None and row is None and number is not None:
        return False  # made through the API, with a secret of its own
    secret = one.secret or kept
    if row is not None and (tuple(row["events"]), kept) == (one.events, secret or ""):
        if not secret and row["paused_reason"] != one.lacks:
            await connection.execute(_LACK, row["id"], one.lacks)
        return False
    number = number or identifier.new()
    sealed = seal({"webhook": {"current": secret} if secret else {}}, outbound.place(number))
    await connection.execute(_DECLARE, number, client_id, one.url, list(one.events), sealed)
    if not secret:
        await connection.execute(_LACK, number, one.lacks)
    elif kept == "":
        await connection.execute(_RESUME, client_id, number)
    return True


def _kept(row: asyncpg.Record, unseal: Unseal) -> str | None:
    """The secret of an endpoint, "" where it never had one; None where its key is gone, so that it is sealed anew."""
    try:
        return unseal(row["sealed"], outbound.place(row["id"]))["webhook"].get("current", "")
    except ConfigurationError:
        return None


def _check(url: str) -> None:
    try:
        egress.check(url)
    except egress.Refused as error:
        raise Problem(422, "invalid_field", str(error), field="url") from None


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise _missing()
    return row


def _missing() -> Problem:
    return Problem(404, "not_found", "This client has no such webhook endpoint.")


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    return dict(row) | {"state": "paused" if row["paused_at"] else "active"}


def _delivery(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": row["id"],
        "event": row["event"],
        "state": STATES[row["state"]],
        "attempts": row["attempts"],
        "next_try_at": row["run_at"] if row["state"] == outbound.WAITS else None,
        "body": msgspec.json.decode(row["body"]),
        "tries": msgspec.json.decode(row["tries"]),
        "created_at": row["created_at"],
    }
