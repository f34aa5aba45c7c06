"""The Python client of Mailboat's REST API: `Mailboat` and, for asyncio, `AsyncMailboat`.

A leaf: it needs httpx and msgspec, and nothing of the service. docs/python-client.md shows it at work.
"""

from mailboat.client.aio import AsyncMailboat
from mailboat.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from mailboat.client.sync import Mailboat
from mailboat.client.types import (
    Attempt,
    BatchOutcome,
    Event,
    Item,
    ListedMessage,
    Message,
    Preview,
    RateLimit,
    Recipient,
    Sent,
    Suppression,
    Template,
    Usage,
)
from mailboat.client.webhooks import WebhookRefused, verify_webhook

__all__ = [
    "ApiError",
    "AsyncMailboat",
    "Attempt",
    "BatchOutcome",
    "ClientError",
    "Conflict",
    "Event",
    "Forbidden",
    "Invalid",
    "Item",
    "ListedMessage",
    "Mailboat",
    "Message",
    "NotFound",
    "Preview",
    "RateLimit",
    "RateLimited",
    "Recipient",
    "Sent",
    "Suppression",
    "Template",
    "Unauthorized",
    "Unavailable",
    "Usage",
    "WebhookRefused",
    "verify_webhook",
]
