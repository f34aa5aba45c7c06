"""Webhooks of Postmark: not signed, so the address that Postmark is given carries a name and a password.

https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailboat.domain import events
from mailboat.domain.events import Bounce, Event, Word
from mailboat.webhooks import base
from mailboat.webhooks.base import Forged, Malformed, Secret, Verified

MOST_OCTETS = 10 << 20  # a bounce may bring the whole mail back

RECORDS: dict[str, Word] = {
    "Delivery": "delivered",
    "SpamComplaint": "complained",
    "Open": "opened",
    "Click": "clicked",
}
TYPES: dict[str, tuple[Word, Bounce | None]] = {
    "HardBounce": ("bounced", "hard"),
    "VirusNotification": ("bounced", "hard"),
    "SoftBounce": ("bounced", "soft"),
    "Transient": ("deferred", None),
    "DnsError": ("deferred", None),
    "OpenRelayTest": ("deferred", None),
    "SpamNotification": ("complained", None),
    "SpamComplaint": ("complained", None),
    "BadEmailAddress": ("rejected", None),
    "ManuallyDeactivated": ("rejected", None),
    "Blocked": ("rejected", None),
    "DMARCPolicy": ("rejected", None),
    "Unconfirmed": ("rejected", None),
    "SMTPApiError": ("failed", None),
    "TemplateRenderingFailed": ("failed", None),
    "Unsubscribe": ("unsubscribed", None),
    "ManualSuppression": ("unsubscribed", None),
}
"""`Type` of a bounce, and `SuppressionReason`. Automatic replies are not here: they say nothing about the mail."""
DATES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


class Secrets(base.Secrets, frozen=True):
    """The name and password in the webhook's address: https://username:password@mail.example.com/webhooks/…"""

    username: Secret
    password: Secret
    previous_password: str = ""


async def verify(raw: bytes, headers: Mapping[str, str], secrets: Secrets, now: datetime) -> Verified:
    """HTTP Basic, compared in constant time. Nothing is signed, so nothing can be stale."""
    del now
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    try:
        given = b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        given = b""
    passwords = base.current_and_previous(secrets.password, secrets.previous_password)
    matches = [hmac.compare_digest(given, f"{secrets.username}:{one}".encode()) for one in passwords]
    if not any(matches):
        raise Forged("name or password is wrong or missing")
    _fact(raw)
    return Verified(base.fingerprint(raw))


def parse(raw: bytes) -> list[Event]:
    fact = _fact(raw)
    word, event, bounce = _meaning(fact)
    at = next((fact[name] for name in DATES if fact.get(name)), None)
    return [
        Event(
            event=event,
            recipient=events.text(fact.get("Email") or fact.get("Recipient")),
            provider_message_id=events.text(fact.get("MessageID"), 200),
            event_id=_event_id(fact, word, events.text(at)),
            at=events.moment(at),
            bounce=bounce,
            reason=_reason(fact),
            tags=_tags(events.text(fact.get("Tag"))),
            metadata=events.mapping(fact.get("Metadata")),
            word=word,
            raw={name: value for name, value in fact.items() if name != "Content"} if event == "unknown" else None,
        )
    ]


def _fact(raw: bytes) -> dict[str, Any]:
    fact = base.decode(raw)
    if not isinstance(fact, dict) or not isinstance(fact.get("RecordType"), str):
        raise Malformed("this has no RecordType, which every webhook of Postmark has")
    return fact


def _meaning(fact: dict[str, Any]) -> tuple[str, Word, Bounce | None]:
    """The provider's word, ours, and how hard the bounce is."""
    record, kind = fact["RecordType"], events.text(fact.get("Type"))
    if record == "Bounce":
        event, bounce = TYPES.get(kind, ("unknown", None))
        return kind, event, bounce
    if record == "SubscriptionChange":
        # A bounce or a complaint that ends a subscription is told about in an event of its own.
        reason = events.text(fact.get("SuppressionReason"))
        left = fact.get("SuppressSending") is True and TYPES.get(reason, ("", None))[0] == "unsubscribed"
        return f"SubscriptionChange {reason}".strip(), "unsubscribed" if left else "unknown", None
    return events.text(record), events.named(RECORDS, record), None


def _event_id(fact: dict[str, Any], word: str, at: str) -> str:
    """Bounces and complaints have an id; other facts are told apart by what they say."""
    given = fact.get("ID")
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    message = events.text(fact.get("MessageID"), 200)
    parts = (message, word, at, events.text(fact.get("OriginalLink")))
    joined = ":".join(filter(None, parts)) if message else ""
    return joined if len(joined) <= 200 else base.fingerprint(joined.encode())


def _tags(tag: str) -> dict[str, str]:
    name, _, value = tag.partition(":")
    return {name: value} if name else {}


def _reason(fact: dict[str, Any]) -> str:
    words = events.text(fact.get("Details")) or events.text(fact.get("Description"))
    return " ".join(words.split()) or events.text(fact.get("OriginalLink") or fact.get("SuppressionReason"))
