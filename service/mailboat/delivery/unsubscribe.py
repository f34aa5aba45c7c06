"""Unsubscribe: the links of RFC 8058, and what happens to whoever follows one.

A link names a message and proves that its recipient got it: no address is in it, and nobody can guess one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from mailboat.delivery import suppressions
from mailboat.delivery.suppressions import Entry
from mailboat.domain.address import Address
from mailboat.domain.message import Envelope
from mailboat.settings import Settings

PATH = "/unsubscribe/"
_ID = _MARK = 16  # octets of a token: the message's id, then the mark
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # in base64url

_envelope = msgspec.json.Decoder(Envelope).decode
_OF = "select client_id, envelope from messages where id = $1"
_TELL = """
insert into events (provider, event_id, recipient, event, word, reason, message_id, client_id, provider_message_id, at)
values ('mailboat', $1, $2, 'unsubscribed', 'one-click', '', $3, $4, '', now()) on conflict do nothing
"""


class Subscriber(NamedTuple):
    """Whom a link takes off, and whose mail it is."""

    message_id: UUID
    client_id: int
    recipient: Address
    sender: Address


class Links:
    """Makes links and reads them. The first key signs; links made with the others go on working."""

    def __init__(self, url: str, keys: list[str]) -> None:
        self._base = url + PATH
        self._keys = [hmac.digest(key.encode(), b"mailboat unsubscribe 1", hashlib.sha256) for key in keys]

    @classmethod
    def from_settings(cls, settings: Settings) -> Links | None:
        """None without a key."""
        return cls(settings.url, settings.unsubscribe_keys) if settings.unsubscribe_keys else None

    def url(self, message_id: UUID, recipient: Address) -> str:
        """The same every time."""
        token = message_id.bytes + _mark(self._keys[0], message_id, recipient)
        return self._base + urlsafe_b64encode(token).rstrip(b"=").decode()

    async def follow(self, pool: asyncpg.Pool, token: str) -> Subscriber | None:
        """Whose link this is; None for one never made, or whose message is gone. Raises what asyncpg raises."""
        if not _TOKEN.fullmatch(token):
            return None
        octets = urlsafe_b64decode(token + "=")
        message_id, mark = UUID(bytes=octets[:_ID]), octets[_ID:]
        if (row := await pool.fetchrow(_OF, message_id)) is None:
            return None
        envelope = _envelope(row["envelope"])
        for _, recipient in envelope.recipients:
            if any(hmac.compare_digest(mark, _mark(key, message_id, recipient)) for key in self._keys):
                return Subscriber(message_id, row["client_id"], recipient, envelope.sender)
        return None


async def leave(pool: asyncpg.Pool, subscriber: Subscriber) -> None:
    """No mail of this client goes there any more; the message's timeline says so. Repeats change nothing."""
    entry = Entry(
        client_id=subscriber.client_id,
        address=subscriber.recipient.key,
        reason="unsubscribe",
        source="one-click",
        detail=f"by the link in message {subscriber.message_id}",
    )
    await suppressions.put(pool, [entry])
    await pool.execute(
        _TELL,
        f"unsubscribe-{subscriber.message_id}",
        subscriber.recipient.email,
        subscriber.message_id,
        subscriber.client_id,
    )


def _mark(key: bytes, message_id: UUID, recipient: Address) -> bytes:
    return hmac.digest(key, message_id.bytes + recipient.key.encode(), hashlib.sha256)[:_MARK]
