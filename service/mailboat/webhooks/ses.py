"""Webhooks of Amazon SES: events in SNS messages.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mailboat.domain import events
from mailboat.domain.events import Bounce, Event, Word
from mailboat.errors import ConfigurationError
from mailboat.webhooks import base, sns
from mailboat.webhooks.base import Malformed, Verified

if TYPE_CHECKING:
    from mailboat.webhooks.amazon import Amazon

MOST_OCTETS = 1 << 20  # an SNS message has 256 kB at most, its JSON inside JSON some more

GREETING = "Successfully validated SNS topic for Amazon SES event publishing."
BOUNCES: dict[str, Bounce] = {"Permanent": "hard", "Transient": "soft", "Undetermined": "soft"}


class Secrets(base.Secrets, frozen=True):
    """`topic-arns` are the SNS topics that are ours: a list, or one a line or separated by commas."""

    topic_arns: str | list[str]

    def __post_init__(self) -> None:
        if not self.topics:
            raise ConfigurationError("webhook: topic-arns: name the SNS topic to which SES publishes its events.")

    @property
    def topics(self) -> list[str]:
        given = self.topic_arns.replace(",", " ").split() if isinstance(self.topic_arns, str) else self.topic_arns
        return [topic for topic in given if topic]


async def verify(
    raw: bytes, headers: Mapping[str, str], secrets: Secrets, now: datetime, *, amazon: Amazon
) -> Verified:
    """The topic first, then the signature; only then is anything done."""
    found = sns.envelope(base.decode(raw), headers, secrets.topics, now)
    await amazon.check(found)
    if found.type != "Notification":
        # The end of a subscription has a SubscribeURL too, which would begin it anew.
        subscribes = found.type == "SubscriptionConfirmation"
        return Verified(found.message_id, confirm=found.subscribe_url if subscribes else "", facts=False)
    if found.message.strip() == GREETING:
        return Verified(found.message_id, facts=False)
    _fact(base.decode(found.message.encode("utf-8", "surrogatepass")))
    return Verified(found.message_id)


def parse(raw: bytes) -> list[Event]:
    """An SNS envelope, or the event alone as SES publishes it elsewhere."""
    body = base.decode(raw)
    if not isinstance(body, dict):
        raise Malformed("this is not an object")
    if events.text(body.get("Type")) not in sns.SIGNED:
        return _events(_fact(body), "")
    message = body.get("Message")
    if body["Type"] != "Notification" or not isinstance(message, str):
        return []
    if message.strip() == GREETING:
        return []
    fact = _fact(base.decode(message.encode("utf-8", "surrogatepass")))
    return _events(fact, events.text(body.get("MessageId"), 200))


class Kind(NamedTuple):
    """How one type of event is read: our word, the object that holds it, its recipients and its reason."""

    word: Word
    part: str
    recipients: str = ""
    reason: Callable[[dict[str, Any]], Any] = lambda part: None


KINDS = {
    "Send": Kind("accepted", "send"),
    "Delivery": Kind("delivered", "delivery", "recipients", lambda part: part.get("smtpResponse")),
    "DeliveryDelay": Kind("deferred", "deliveryDelay", "delayedRecipients", lambda part: part.get("delayType")),
    "Bounce": Kind("bounced", "bounce", "bouncedRecipients", lambda part: _pair(part, "bounceType", "bounceSubType")),
    "Complaint": Kind(
        "complained",
        "complaint",
        "complainedRecipients",
        lambda part: part.get("complaintFeedbackType") or part.get("complaintSubType"),
    ),
    "Reject": Kind("rejected", "reject", "", lambda part: part.get("reason")),
    "Rendering Failure": Kind("failed", "failure", "", lambda part: part.get("errorMessage")),
    "Open": Kind("opened", "open", "", lambda part: part.get("userAgent")),
    "Click": Kind("clicked", "click", "", lambda part: part.get("link")),
}
_UNKNOWN = Kind("unknown", "")


def _fact(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("eventType", body.get("notificationType")), str):
        raise Malformed("this has neither eventType nor notificationType, one of which SES always sends")
    return body


def _events(fact: dict[str, Any], envelope_id: str) -> list[Event]:
    name = events.text(fact.get("eventType") or fact.get("notificationType"))
    kind = KINDS.get(name, _UNKNOWN)
    part, mail = events.mapping(fact.get(kind.part)), events.mapping(fact.get("mail"))
    word, bounce = _meaning(kind, part)
    at = part.get("timestamp") or mail.get("timestamp")
    own_id = part.get("feedbackId") or f"{events.text(mail.get('messageId'))}:{name}:{events.text(at)}"
    return [
        Event(
            event=word,
            recipient=recipient,
            provider_message_id=events.text(mail.get("messageId"), 200),
            event_id=envelope_id or events.text(own_id, 200),
            at=events.moment(at),
            bounce=bounce,
            reason=" ".join((words or events.text(kind.reason(part))).split()),
            tags=_tags(mail),
            word=name,
            raw=fact if word == "unknown" else None,
        )
        for recipient, words in _recipients(part, kind, mail)
    ]


def _meaning(kind: Kind, part: dict[str, Any]) -> tuple[Word, Bounce | None]:
    if kind.word == "bounced":
        return "bounced", BOUNCES.get(events.text(part.get("bounceType")), "soft")
    if kind.word == "complained" and part.get("complaintFeedbackType") == "not-spam":
        return "unknown", None  # the opposite of a complaint: out of the spam folder
    return kind.word, None


def _recipients(part: dict[str, Any], kind: Kind, mail: dict[str, Any]) -> list[tuple[str, str]]:
    """Each with what its server said; where the fact names nobody it is about the whole mail."""
    found = []
    for one in events.items(part.get(kind.recipients)) or events.items(mail.get("destination")):
        about = one if isinstance(one, dict) else {"emailAddress": one}
        status, words = events.text(about.get("status")), events.text(about.get("diagnosticCode"))
        told = f"{status} {words}" if status and status not in words else words
        found.append((events.text(about.get("emailAddress")), told.strip()))
    return found or [("", "")]


def _pair(part: dict[str, Any], *names: str) -> str:
    return " ".join(filter(None, (events.text(part.get(name)) for name in names)))


def _tags(mail: dict[str, Any]) -> dict[str, str]:
    """Ours and the client's; those that begin with `ses:` are Amazon's."""
    tags = events.mapping(mail.get("tags"))
    given = {name: values[0] for name, values in tags.items() if isinstance(values, list) and values}
    return {name: text for name, text in events.texts(given).items() if not name.startswith("ses:")}
