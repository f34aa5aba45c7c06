"""Webhooks of Mailgun: an HMAC over timestamp and token, which does not cover the event itself.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
So a token is good for one event only: the same token with another body is a forgery, which `record.keep` finds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import getaddresses
from typing import Any

from mailboat.domain import events
from mailboat.domain.events import Bounce, Event, Word
from mailboat.webhooks import base
from mailboat.webhooks.base import Forged, Malformed, Secret, Verified

MOST_OCTETS = 1 << 20
WINDOW = timedelta(hours=12)  # the last repeat comes after some eight hours

WORDS: dict[str, Word] = {
    "accepted": "accepted",
    "delivered": "delivered",
    "failed": "failed",
    "rejected": "rejected",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
    "opened": "opened",
    "clicked": "clicked",
}
FAILURES: dict[str, tuple[Word, Bounce | None]] = {"permanent": ("bounced", "hard"), "temporary": ("deferred", None)}
TOO_OLD = 602  # Mailgun's own code: eight hours of "not now", https://help.mailgun.com/hc/en-us/articles/28956111811355

# A permanent failure is Mailgun's last word on the mail, and not always on the address: "later", or a full mailbox.
_NOT_FOR_GOOD = re.compile(r"(?<![\d.])(?:4\.\d{1,3}\.\d{1,3}|5\.2\.2)(?![\d.])")


class Secrets(base.Secrets, frozen=True):
    """`signing-key` is the account's HTTP webhook signing key, not the API key."""

    signing_key: Secret
    previous_signing_key: str = ""


async def verify(raw: bytes, headers: Mapping[str, str], secrets: Secrets, now: datetime) -> Verified:
    """The signature lies inside the body, which therefore has to be read first."""
    del headers
    body = base.decode(raw)
    if not isinstance(body, dict):
        raise Malformed("this is not an object")
    signature = events.mapping(body.get("signature"))
    timestamp, token, given = (signature.get(name) for name in ("timestamp", "token", "signature"))
    if not (isinstance(timestamp, str) and isinstance(token, str) and isinstance(given, str) and token):
        raise Forged("timestamp, token or signature is missing")
    signed = (timestamp + token).encode("utf-8", "surrogatepass")
    keys = base.current_and_previous(secrets.signing_key, secrets.previous_signing_key)
    expected = [hmac.digest(key.encode(), signed, "sha256").hex() for key in keys]
    # All are compared, so that the time taken does not say which key was close.
    matches = [hmac.compare_digest(one.encode(), given.encode("utf-8", "surrogatepass")) for one in expected]
    if not any(matches):
        raise Forged("the signature is wrong")
    base.fresh(events.moment(timestamp), now, WINDOW)
    if not isinstance(body.get("event-data"), dict):
        raise Malformed("event-data is missing")
    return Verified(events.text(token, 200), hashlib.sha256(raw).digest())


def parse(raw: bytes) -> list[Event]:
    body = base.decode(raw)
    if not isinstance(body, dict) or not isinstance(body.get("event-data"), dict):
        raise Malformed("this has no event-data, which every webhook of Mailgun has")
    fact, token = body["event-data"], events.mapping(body.get("signature")).get("token")
    word = events.text(fact.get("event"))
    event, bounce = _meaning(fact, word)
    return [
        Event(
            event=event,
            recipient=recipient,
            provider_message_id=events.text(_headers(fact).get("message-id"), 200).strip("<>"),
            event_id=events.text(token or fact.get("id"), 200),
            at=events.moment(fact.get("timestamp")),
            bounce=bounce,
            reason=_reason(fact),
            tags=tags(events.items(fact.get("tags"))),
            metadata=events.mapping(fact.get("user-variables")),
            word=word,
            raw=fact if event == "unknown" else None,
        )
        for recipient in _recipients(fact)
    ]


def tags(labels: list[Any]) -> dict[str, str]:
    """Labels as we write them, `name:value`; others have no value."""
    pairs = (events.text(label).partition(":") for label in labels if isinstance(label, str))
    return {name: value for name, _, value in pairs}


def _meaning(fact: dict[str, Any], word: str) -> tuple[Word, Bounce | None]:
    if word != "failed":
        return events.named(WORDS, word), None
    reason = events.text(fact.get("reason"))
    if reason.startswith("suppress-"):  # an address on Mailgun's own lists
        return "rejected", None
    event, bounce = FAILURES.get(events.text(fact.get("severity")), ("failed", None))
    if reason == "old":  # its last word, which has come with either severity
        return "bounced", "soft"
    return event, "soft" if bounce and _is_for_now(events.mapping(fact.get("delivery-status"))) else bounce


def _is_for_now(status: dict[str, Any]) -> bool:
    code = status.get("code")
    if isinstance(code, int) and (400 <= code < 500 or code == TOO_OLD):
        return True
    return _NOT_FOR_GOOD.search(events.text(status.get("message"))) is not None


def _headers(fact: dict[str, Any]) -> dict[str, Any]:
    return events.mapping(events.mapping(fact.get("message")).get("headers"))


def _recipients(fact: dict[str, Any]) -> list[str]:
    """The recipient; a rejected message names none and is told about everybody in its To."""
    if recipient := events.text(fact.get("recipient")):
        return [recipient]
    return [email for _, email in getaddresses([events.text(_headers(fact).get("to"))]) if email] or [""]


def _reason(fact: dict[str, Any]) -> str:
    status, reject = events.mapping(fact.get("delivery-status")), events.mapping(fact.get("reject"))
    words = [events.text(status.get(name)) for name in ("code", "message", "description")]
    words += [events.text(reject.get(name)) for name in ("reason", "description")]
    told = " ".join(" ".join(dict.fromkeys(filter(None, words))).split())
    return told or events.text(fact.get("reason") or fact.get("url"))
