"""The provider `inbox`: keeps the mail in PostgreSQL, for the dashboard to show. Nothing leaves the machine."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from uuid import UUID

import asyncpg

from mailboat.domain.message import Mail, Receipt
from mailboat.errors import ProviderError, Rejected, Unavailable
from mailboat.providers import mime

CHANNEL = "mailboat_inbox"  # NOTIFY with the message id for each mail that is new
BATCH = 256

# Addresses hold no line breaks, so a text with one address a line stands for an array in `unnest`.
_STORE = f"""
WITH stored AS (
    INSERT INTO inbox (message_id, client, sender, recipients, subject, raw)
    SELECT message_id, client, sender, string_to_array(recipients, chr(10)), subject, raw
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
         AS mail (message_id, client, sender, recipients, subject, raw)
    ON CONFLICT DO NOTHING
    RETURNING message_id
)
SELECT pg_notify('{CHANNEL}', message_id::text) FROM stored
"""


class Row(NamedTuple):
    """One row of `inbox`; `recipients` has one address a line."""

    message_id: UUID
    client: str
    sender: str
    recipients: str
    subject: str
    raw: bytes


Waiting = tuple[Row, asyncio.Future[None]]


class Inbox:
    """Hands mail to the table `inbox`. Mails that arrive while a statement is under way share the next one."""

    kind = "inbox"
    concurrency = 2 * BATCH

    def __init__(self, name: str, pool: asyncpg.Pool) -> None:
        self.name = name
        self._pool = pool
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    def build(self, mail: Mail) -> Row:
        recipients = [one.email for one in mail.recipients]
        if not recipients:
            raise Rejected("The message has no recipients.")
        for email in (mail.envelope.sender.email, *recipients):
            mime.addr_spec(email, smtputf8=True)
        raw = mime.encode(mail, eight_bit=True, smtputf8=True)
        return Row(mail.id, mail.client, mail.envelope.sender.email, "\n".join(recipients), mail.subject, raw)

    async def send(self, request: Row) -> Receipt:
        """A mail that is there already stays as it is: sending twice is receiving once."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, stored))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await stored
        return Receipt("kept in the inbox", str(request.message_id))

    async def check(self) -> str:
        try:
            version = await self._pool.fetchval("SELECT current_setting('server_version') FROM inbox LIMIT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _away(error) from None
        return f"the inbox in PostgreSQL answers ({version or 'empty'})"

    async def close(self) -> None:
        """Wait for what is being written. The pool belongs to whoever made it."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        batch: list[Waiting] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                _tell(batch, await self._store([row for row, _ in batch]))
                batch = []
        finally:
            self._writer = None
            _tell([*batch, *self._waiting], Unavailable("the inbox was stopped"))

    async def _store(self, rows: list[Row]) -> ProviderError | None:
        try:
            await self._pool.execute(_STORE, *map(list, zip(*rows, strict=True)))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return _away(error)
        return None


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the inbox in PostgreSQL cannot be used: {type(error).__name__}: {error}")


def _tell(batch: list[Waiting], error: ProviderError | None) -> None:
    for _, stored in batch:
        if stored.done():
            continue  # its sender was cancelled meanwhile
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
