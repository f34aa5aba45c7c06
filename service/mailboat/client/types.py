"""What the API answers, typed; fields that it gains later are passed over. And what a message may be made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import UUID

import msgspec

Lane = Literal["high", "normal", "bulk"]
Addresses = str | Sequence[str]


class Attachment(TypedDict, total=False):
    """A file: `content` is its octets, or base64 as text; or `url`, from where the server fetches it."""

    filename: str
    content: bytes | str
    url: str
    content_type: str
    content_id: str


class Fields(TypedDict, total=False):
    """Everything about a message but whom it goes to. `sender` is the API's `from`; a moment needs a time zone."""

    template: str
    data: Mapping[str, Any]
    subject: str
    html: str
    text: str
    sender: str
    cc: Addresses
    bcc: Addresses
    reply_to: Addresses
    headers: Mapping[str, str]
    attachments: Sequence[Attachment]
    locale: str
    lane: Lane
    send_at: datetime
    tags: Mapping[str, str]
    metadata: Mapping[str, Any]
    unsubscribe: bool
    idempotency_key: str


class BatchMessage(Fields, total=False):
    """One message of a batch; `to` is needed."""

    to: Addresses


class Filters(TypedDict, total=False):
    """What narrows a list of messages."""

    status: str
    template: str
    recipient: str
    lane: Lane
    tags: Mapping[str, str]
    since: datetime
    until: datetime


class Sent(msgspec.Struct, frozen=True):
    """The message is stored and will be sent."""

    id: UUID
    status: str


class Item(msgspec.Struct, frozen=True):
    """What became of one message of a batch: its id, or the problem it has (`code`, `detail`, `field`)."""

    id: UUID | None = None
    status: str | None = None
    problem: dict[str, Any] | None = None


class BatchOutcome(msgspec.Struct, frozen=True):
    """A batch that was stored; `messages` are in the order of the request."""

    accepted: int
    refused: int
    messages: list[Item]


class Recipient(msgspec.Struct, frozen=True):
    """One recipient and what became of the mail to it; `diagnosis` says what went wrong and what to do."""

    address: str
    kind: str
    status: str
    detail: str = ""
    diagnosis: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One try to hand the message to one provider."""

    number: int
    outcome: str
    detail: str
    started_at: datetime
    seconds: float
    provider: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One fact that a provider reported."""

    event: str
    recipient: str
    at: datetime
    provider: str
    bounce: str | None = None
    reason: str = ""


class _Summary(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    status: str
    lane: str
    sender: str = msgspec.field(name="from")
    created_at: datetime
    send_at: datetime | None = None
    template: str | None = None
    revision: str | None = None
    attempt_count: int = 0
    provider: str | None = None
    provider_message_id: str | None = None
    error: str | None = None
    tags: dict[str, str] = {}
    metadata: dict[str, Any] = {}


class ListedMessage(_Summary, frozen=True, kw_only=True):
    """A message in a list."""

    to: list[str]


class Message(_Summary, frozen=True, kw_only=True):
    """A message with its timeline."""

    recipients: list[Recipient] = []
    attempts: list[Attempt] = []
    events: list[Event] = []
    diagnosis: str | None = None
    trace_id: str = ""


class Template(msgspec.Struct, frozen=True):
    """A template and its live revision; `schema` is the JSON Schema of its data."""

    name: str
    engine: str
    revision: str
    subject: str
    example: dict[str, Any]
    locales: list[str]
    schema: dict[str, Any] | None = None


class Preview(msgspec.Struct, frozen=True):
    """What a mail would hold. `size`: octets of the HTML."""

    subject: str
    size: int
    warnings: list[str]
    revision: str
    html: str | None = None
    text: str | None = None


class Suppression(msgspec.Struct, frozen=True):
    """An address that must not be mailed again; `scope` says whether by this client or by all."""

    address: str
    scope: str
    reason: str
    source: str
    detail: str
    created_at: datetime
    expires_at: datetime | None = None


class RateLimit(msgspec.Struct, frozen=True):
    """So many a minute, and so many at once."""

    per_minute: int
    burst: int


class Usage(msgspec.Struct, frozen=True):
    """The messages of a month (UTC) such as 2026-11. Without a quota, `quota` and `remaining` are None."""

    month: str
    accepted: int
    quota: int | None
    remaining: int | None
    resets_at: datetime
    rate_limit: RateLimit


class MessagePage(msgspec.Struct, frozen=True):
    items: list[ListedMessage]
    next: str | None


class SuppressionPage(msgspec.Struct, frozen=True):
    items: list[Suppression]
    next: str | None


class TemplateName(msgspec.Struct, frozen=True):
    name: str


class TemplateNames(msgspec.Struct, frozen=True):
    items: list[TemplateName]
