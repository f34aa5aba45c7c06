"""Webhooks of SendGrid: ECDSA (P-256, SHA-256) over the timestamp and the raw body.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from mailboat.domain import events
from mailboat.domain.events import Bounce, Event, Word
from mailboat.errors import ConfigurationError
from mailboat.webhooks import base
from mailboat.webhooks.base import Forged, Malformed, Secret, Verified

MOST_OCTETS = 1 << 20  # a batch is posted when it reaches 768 kB
WINDOW = timedelta(hours=24)  # so long are posts repeated, and it is not said that a repeat is signed anew
SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

WORDS: dict[str, Word] = {
    "processed": "accepted",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "rejected",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "open": "opened",
    "click": "clicked",
}
BOUNCES: dict[str, Bounce] = {"bounce": "hard", "blocked": "soft"}

# What SendGrid writes into an event itself; every other name is a custom argument.
OWN = {
    "asm_group_id", "attempt", "bounce_classification", "category", "cert_err", "email", "event", "ip",
    "marketing_campaign_id", "marketing_campaign_name", "newsletter", "pool", "reason", "response", "send_at",
    "sg_content_type", "sg_event_id", "sg_machine_open", "sg_message_id", "sg_template_id", "sg_template_name",
    "sg_user_id", "smtp-id", "status", "timestamp", "tls", "type", "url", "url_offset", "useragent",
}  # fmt: skip


class Secrets(base.Secrets, frozen=True):
    """`public-key` is the verification key as SendGrid shows it: base64 without PEM armour."""

    public_key: Secret
    previous_public_key: str = ""

    def __post_init__(self) -> None:
        for key in base.current_and_previous(self.public_key, self.previous_public_key):
            _checker(key)


async def verify(raw: bytes, headers: Mapping[str, str], secrets: Secrets, now: datetime) -> Verified:
    """Missing headers are a refusal, as a wrong signature is."""
    timestamp, given = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not timestamp.isdecimal() or not timestamp.isascii() or not given:
        raise Forged("signature or timestamp is missing")
    try:
        signature = b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise Forged("the signature is not base64") from None
    keys = base.current_and_previous(secrets.public_key, secrets.previous_public_key)
    if not any(_checker(key)(signature, timestamp.encode() + raw) for key in keys):
        raise Forged("the signature is wrong")
    base.fresh(events.moment(timestamp), now, WINDOW)
    if not isinstance(base.decode(raw), list):
        raise Malformed("this is not a list")
    return Verified(base.fingerprint(timestamp.encode(), raw))


def parse(raw: bytes) -> list[Event]:
    body = base.decode(raw)
    if not isinstance(body, list):
        raise Malformed("this is not a list, which every webhook of SendGrid is")
    return [_event(fact) for fact in body]


@lru_cache(64)
def _checker(key: str) -> Callable[[bytes, bytes], bool]:
    """Whether a signature fits some content under this key. Raises ConfigurationError for what is no such key."""
    # Loaded here, since those who only read events need none of it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(b64decode(key))
    except ValueError:
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ConfigurationError("webhook: public-key is not SendGrid's verification key. Copy it from its settings.")

    def fits(signature: bytes, content: bytes) -> bool:
        try:
            public.verify(signature, content, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True

    return fits


def _event(fact: Any) -> Event:
    if not isinstance(fact, dict):
        return Event(event="unknown", reason="not an object", raw=fact)
    word = events.text(fact.get("event"))
    event = events.named(WORDS, word)
    category = fact.get("category")
    return Event(
        event=event,
        recipient=events.text(fact.get("email")),
        provider_message_id=_message_id(events.text(fact.get("sg_message_id"), 200)),
        event_id=events.text(fact.get("sg_event_id"), 200),
        at=events.moment(fact.get("timestamp")),
        bounce=BOUNCES.get(events.text(fact.get("type")), "hard") if event == "bounced" else None,
        reason=_reason(fact),
        tags=_tags(category if isinstance(category, list) else [category]),
        metadata={name: value for name, value in fact.items() if name not in OWN},
        word=word,
        raw=fact if event == "unknown" else None,
    )


def _message_id(text: str) -> str:
    """The part that the send request was answered with."""
    head, marked, _ = text.partition(".filter")
    return head if marked else text.partition(".")[0]


def _tags(categories: list[Any]) -> dict[str, str]:
    """Categories as we write them, `name:value`; others have no value."""
    pairs = (events.text(one).partition(":") for one in categories if isinstance(one, str))
    return {name: value for name, _, value in pairs}


def _reason(fact: dict[str, Any]) -> str:
    status, words = events.text(fact.get("status")), events.text(fact.get("reason") or fact.get("response"))
    told = f"{status} {words}" if status and status not in words else words
    return " ".join(told.split()) or events.text(fact.get("url"))
