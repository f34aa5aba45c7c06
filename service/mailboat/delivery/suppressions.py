"""Suppressions: addresses that must not be mailed again, by one client or by any, and why.

They are looked at twice: when a message is accepted, and again before it is sent. The first look costs next to nothing:
`Guard` keeps a sieve in memory that lets through what is certainly not suppressed, and asks Postgres about the rest.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat.db import engine
from mailboat.delivery.batcher import Batcher
from mailboat.domain import address
from mailboat.domain.address import InvalidAddress
from mailboat.domain.message import Claimed
from mailboat.domain.verdict import Fate
from mailboat.errors import Problem

if TYPE_CHECKING:
    from mailboat.delivery.validate import SendRequest

log = structlog.get_logger()
EVERYBODY = 0  # the client id of suppressions that hold for every client
CHANNEL = "mailboat_suppressions"  # NOTIFY with each new address, or with nothing when there are many
LONGEST = 320  # characters of an address that is none
LOOK_SECONDS = 2.0  # how long a worker believes that there are none at all
REASONS = {
    "bounce": "mail to it bounced",
    "complaint": "its owner called our mail spam",
    "unsubscribe": "its owner unsubscribed",
    "manual": "it was put on the list by hand",
}
Reason = Literal["bounce", "complaint", "unsubscribe", "manual"]

_VALID = "(expires_at is null or expires_at > now())"
_BAR = """
insert into suppressions as s (client_id, address, reason, source, detail, expires_at)
select distinct on (client_id, address) client_id, address, reason, source, detail, expires_at
from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    as t(client_id, address, reason, source, detail, expires_at)
order by client_id, address
on conflict (address, client_id) do update set reason = excluded.reason, source = excluded.source,
    detail = excluded.detail, expires_at = excluded.expires_at, created_at = now()
where {condition}
"""
# A later bounce leaves the first one's reason alone, unless that one is over; a person's word counts at once.
_BAR_AGAIN = _BAR.format(condition="s.expires_at < now()")
_PUT = _BAR.format(condition="true")
_COLUMNS = "client_id, address, reason, source, detail, created_at, expires_at"
_OF = f"""
select t.place, s.* from unnest($1::integer[], $2::integer[], $3::text[]) as t(place, client, address)
join (select {_COLUMNS} from suppressions where {_VALID}) s
    on s.address = t.address and s.client_id in (0, t.client)
order by t.place, s.client_id desc
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One suppression on its way in; `address` is a key."""

    client_id: int
    address: str
    reason: str = "manual"
    source: str = "admin"
    detail: str = ""
    expires_at: datetime | None = None


def key_of(text: str) -> str:
    """What spellings of the same mailbox share, for text that may be no address at all."""
    try:
        return address.parse(text).key
    except InvalidAddress:
        return text.strip().lower()[:LONGEST].replace("\0", "")


async def bar(connection: asyncpg.Connection | asyncpg.Pool, entries: Sequence[Entry]) -> None:
    """Suppress; those that are suppressed already stay as they are."""
    await connection.execute(_BAR_AGAIN, *_columns(entries))


async def put(pool: asyncpg.Pool, entries: Sequence[Entry]) -> None:
    """Suppress, in place of what is known about these addresses."""
    await pool.execute(_PUT, *_columns(entries))


async def remove(pool: asyncpg.Pool, client_id: int, text: str) -> bool:
    """Mail may go there again. False when it was not suppressed for this client itself."""
    done = await pool.execute("delete from suppressions where client_id = $1 and address = $2", client_id, key_of(text))
    return bool(done == "DELETE 1")


async def get(pool: asyncpg.Pool, client_id: int, text: str) -> dict[str, Any] | None:
    """The suppression that holds for this client, its own before everybody's; or None."""
    row = await pool.fetchrow(
        f"select {_COLUMNS} from suppressions where address = $2 and client_id in (0, $1) and {_VALID} "
        "order by client_id desc limit 1",
        client_id,
        key_of(text),
    )
    return _shown(row) if row else None


async def page(
    pool: asyncpg.Pool, client_id: int, *, reason: str | None, limit: int, cursor: str | None
) -> dict[str, Any]:
    """`{"items": […], "next": cursor or None}`, by address, without those that are over. Raises Problem 400."""
    rows = await pool.fetch(
        f"select {_COLUMNS} from suppressions where client_id = $1 and address > $2 and {_VALID} "
        "and reason = coalesce($3, reason) order by address limit $4",
        client_id,
        _address_of(cursor) if cursor else "",
        reason,
        limit + 1,
    )
    return {
        "items": [_shown(row) for row in rows[:limit]],
        "next": _cursor_of(rows[limit - 1]["address"]) if len(rows) > limit else None,
    }


async def everything(pool: asyncpg.Pool, client_id: int) -> AsyncIterator[dict[str, Any]]:
    """All of them, by address."""
    cursor = None
    while True:
        found = await page(pool, client_id, reason=None, limit=1000, cursor=cursor)
        for item in found["items"]:
            yield item
        if (cursor := found["next"]) is None:
            return


class Suppressed:
    """The second look, just before sending. Where there are no suppressions at all it costs nothing."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._any, self._look_at = False, 0.0

    async def among(self, claimed: Sequence[Claimed]) -> dict[UUID, dict[str, Fate]]:
        """The recipients that got suppressed since they were accepted, and why. Raises what asyncpg raises."""
        if time.monotonic() >= self._look_at:
            self._any = await self._pool.fetchval("select exists (select from suppressions)")
            self._look_at = time.monotonic() + LOOK_SECONDS
        if not self._any:
            return {}
        places = [(message, to) for message in claimed for _, to in message.envelope.recipients]
        clients, keys = [message.client_id for message, _ in places], [to.key for _, to in places]
        barred: dict[UUID, dict[str, Fate]] = {}
        for row in await self._pool.fetch(_OF, list(range(len(places))), clients, keys):
            message, to = places[row["place"]]
            barred.setdefault(message.id, {})[to.email] = Fate("failed", f"Not sent: {describe(row)}.")
        return barred


def describe(row: Mapping[str, Any]) -> str:
    """Why, and since when, in a sentence."""
    whose = "every client" if row["client_id"] == EVERYBODY else "this client"
    words = f" ({row['detail']})" if row["detail"] else ""
    until = f", until {row['expires_at']:%Y-%m-%d}" if row["expires_at"] else ""
    return f"{row['address']} is suppressed for {whose}: {REASONS.get(row['reason'], row['reason'])} on " + (
        f"{row['created_at']:%Y-%m-%d}{until}{words}"
    )


def recipients(request: SendRequest) -> Iterator[tuple[str, str]]:
    """Every recipient of a request with the field it stands in."""
    for field in ("to", "cc", "bcc"):
        given: str | list[str] = getattr(request, field)
        if isinstance(given, str):
            yield field, given
        else:
            yield from ((f"{field}[{n}]", text) for n, text in enumerate(given))


class Sieve:
    """A Bloom filter of addresses: `may_have` is never wrong when it says no. A mebibyte holds half a million well."""

    BITS = 1 << 23

    def __init__(self) -> None:
        self._bits = bytearray(self.BITS >> 3)
        self.empty = True

    def add(self, text: str) -> None:
        self.empty = False
        for bit in self._places(text):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def may_have(self, text: str) -> bool:
        return all(self._bits[bit >> 3] >> (bit & 7) & 1 for bit in self._places(text))

    def _places(self, text: str) -> Iterator[int]:
        step = hash(text)
        return (step >> shift & self.BITS - 1 for shift in (0, 20, 40))


Asked = tuple[int, str]


class Guard:
    """Refuses suppressed recipients at the door.

    While `listening`, the sieve knows every address; until it is filled, and whenever news may have been missed,
    Postgres is asked about all of them.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sieve: Sieve | None = None
        self._filling: asyncio.Task[None] | None = None
        self._news: list[str] = []
        self._batcher: Batcher[Asked, asyncpg.Record | None] = Batcher([self._ask, self._ask])

    async def check(self, client_id: int, recipients: Iterable[tuple[str, str]]) -> None:
        """`recipients`: field and text. Raises Problem 422 for the first that is suppressed, 503 without Postgres."""
        sieve = self._sieve
        if sieve is not None and sieve.empty:
            return
        for field, text in recipients:
            key = address.parse(text).key
            if (sieve is None or sieve.may_have(key)) and (row := await self._suppression(client_id, key)):
                raise Problem(422, "suppressed", f"{field}: {describe(row)}.", field=field, reason=row["reason"])

    def added(self, text: str) -> None:
        """An address was suppressed; with "" many were, and which ones has to be asked."""
        if not text:
            self._fill()
            return
        if self._sieve is not None:
            self._sieve.add(text)
        elif self._filling is not None:
            self._news.append(text)

    def listening(self, connected: bool) -> None:
        """News are heard from now on, or not any more."""
        if connected:
            self._fill()
        else:
            self._stop()

    async def close(self) -> None:
        self._stop()
        await self._batcher.close()

    def _stop(self) -> None:
        self._sieve = None
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None

    def _fill(self) -> None:
        self._stop()
        self._news = []
        self._filling = asyncio.create_task(self._filled())

    async def _filled(self) -> None:
        sieve = Sieve()
        try:
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                async for row in connection.cursor("select address from suppressions", prefetch=1000):
                    sieve.add(row[0])
        except engine.AWAY as error:
            # Every address is asked about until the next connection fills it.
            log.warning("suppressions could not be read", error=str(error) or type(error).__name__)
            return
        for text in self._news:
            sieve.add(text)
        self._sieve = sieve

    async def _suppression(self, client_id: int, key: str) -> asyncpg.Record | None:
        try:
            return await self._batcher.submit((client_id, key))
        except engine.AWAY as error:
            raise Problem(
                503,
                "unavailable",
                f"Nothing was accepted: the database is away ({type(error).__name__}). Try again.",
                headers={"Retry-After": "1"},
            ) from None

    async def _ask(self, asked: list[Asked]) -> list[asyncpg.Record | None]:
        clients, keys = [client_id for client_id, _ in asked], [key for _, key in asked]
        found: list[asyncpg.Record | None] = [None] * len(asked)
        for row in await self._pool.fetch(_OF, list(range(len(asked))), clients, keys):
            found[row["place"]] = found[row["place"]] or row
        return found


def _columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [
        [one.client_id for one in entries],
        [one.address for one in entries],
        [one.reason for one in entries],
        [one.source for one in entries],
        [one.detail for one in entries],
        [one.expires_at for one in entries],
    ]


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "address": row["address"],
        "scope": "global" if row["client_id"] == EVERYBODY else "client",
        "reason": row["reason"],
        "source": row["source"],
        "detail": row["detail"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
    }


def _cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _address_of(cursor: str) -> str:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        text = ""
    if not text or "\0" in text:
        raise Problem(400, "invalid_cursor", "The cursor is not one that a page gave.", field="cursor")
    return text
