"""Amazon SES, API version 2: SendEmail with raw mail, GetAccount, and events through SNS.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html,
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

import email
import email.policy
import re
import time
from base64 import b64decode
from binascii import Error as NotBase64
from datetime import datetime
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mailboat.simulate import outcomes, sigv4
from mailboat.simulate.courier import Post
from mailboat.simulate.mails import Kept
from mailboat.simulate.outcomes import Kind
from mailboat.simulate.server import Simulator
from mailboat.simulate.sns import Topic, Version
from mailboat.simulate.switches import Switches

ACCESS_KEY, SECRET_KEY, REGION = "AKIASIMULATOR", "simulator-secret", "eu-west-1"
MOST_RECIPIENTS, LARGEST, MOST_HEADERS = 50, 40_000_000, 10_240

_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_PLAIN_ADDRESS = re.compile(r"[!-?A-~]+@[A-Za-z0-9.-]+")


class SesSwitches(Switches, frozen=True, kw_only=True, rename="camel"):
    """What is SES's own."""

    signature_version: Annotated[Version, Meta(description="Of SNS: 1 (SHA-1) or 2 (SHA-256).")] = "1"
    confirm_first: Annotated[
        bool, Meta(description="Send no event before the subscription is confirmed, as SNS does.")
    ] = True


class Refused(ValueError):
    """A code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Ses(Simulator):
    """Signatures of calls are checked; the region in them may be any."""

    kind = "ses"
    send_paths = ("/v2/email/outbound-emails",)
    switches: SesSwitches

    def __init__(
        self,
        switches: SesSwitches,
        *,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        region: str = REGION,
        **others: Any,
    ) -> None:
        super().__init__(switches, **others)
        self._key, self._secret = access_key, secret_key
        self.topic = Topic(region)

    def about(self) -> dict[str, Any]:
        return {
            "accessKeyId": self._key,
            "secretAccessKey": self._secret,
            "topicArn": self.topic.arn,
            "certificate": self.topic.certificate_path,
            "subscriptionConfirmed": self.topic.confirmed,
        }

    def routes(self) -> list[Route]:
        return [
            Route("/v2/email/account", self._account),
            Route(self.topic.certificate_path, self._certificate),
            Route("/", self._sns),
        ]

    def unauthorised(self, request: Request, body: bytes) -> Response | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.scope["raw_path"].decode()
        wrong = sigv4.fault(request.method, path, request.url.query, headers, body, key=self._key, secret=self._secret)
        return _error(403, wrong.code, wrong.message) if wrong else None

    def throttled(self) -> Response:
        return _error(429, "TooManyRequestsException", "Maximum sending rate exceeded.")

    def failed(self, status: int) -> Response:
        return _error(status, "InternalServiceErrorException", "Service unavailable.")

    async def accept(self, request: Request, body: bytes) -> Kept | Response:
        if len(body) > LARGEST:
            return _error(413, "RequestEntityTooLarge", "The request is too large.")
        try:
            return _mail(_object(body))
        except Refused as error:
            return _error(400, error.code, error.message)

    def accepted(self, mail: Kept) -> Response:
        return JSONResponse({"MessageId": mail.identifier})

    def event(self, mail: Kept, recipient: str, kind: Kind, at: datetime) -> dict[str, Any] | None:
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        words = _EVENTS[kind](recipient, stamp) if kind in _EVENTS else None
        return None if words is None else {**words, "mail": _told(mail, stamp)}

    def posts(self, events: list[dict[str, Any]]) -> list[Post]:
        """None before the subscription is confirmed: SNS has nobody to tell."""
        if self.switches.confirm_first and not self.topic.confirmed:
            return []
        return [self.topic.notification(event, self.switches.signature_version) for event in events]

    def greeting(self) -> list[Post]:
        """Every new subscriber has to confirm."""
        self.topic.confirmed = False
        return [self.topic.subscription(self.switches.signature_version)]

    async def _account(self, request: Request) -> Response:
        if refusal := self.unauthorised(request, await request.body()):
            return refusal
        quota = {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": float(self.mails.total)}
        return JSONResponse({"SendingEnabled": True, "ProductionAccessEnabled": True, "SendQuota": quota})

    async def _certificate(self, _: Request) -> Response:
        return PlainTextResponse(self.topic.certificate)

    async def _sns(self, request: Request) -> Response:
        """ConfirmSubscription, as the SubscribeURL asks for it."""
        asked = request.query_params
        if asked.get("Action") != "ConfirmSubscription":
            return PlainTextResponse("InvalidAction", 400)
        if not self.topic.confirm(asked.get("TopicArn", ""), asked.get("Token", "")):
            return PlainTextResponse("InvalidParameter: Invalid token", 400)
        return PlainTextResponse(f"<SubscriptionArn>{self.topic.arn}:{uuid4()}</SubscriptionArn>")


def _bounce(kind: str, subtype: str, status: str, words: str) -> Any:
    def event(recipient: str, stamp: str) -> dict[str, Any]:
        bounced = {"emailAddress": recipient, "action": "failed", "status": status, "diagnosticCode": f"smtp; {words}"}
        return {
            "eventType": "Bounce",
            "bounce": {
                "bounceType": kind,
                "bounceSubType": subtype,
                "bouncedRecipients": [bounced],
                "timestamp": stamp,
                "feedbackId": f"{uuid4()}-000000",
                "reportingMTA": "dsn; simulator.amazonses.com",
            },
        }

    return event


def _delivery(recipient: str, stamp: str) -> dict[str, Any]:
    return {
        "eventType": "Delivery",
        "delivery": {
            "timestamp": stamp,
            "processingTimeMillis": 500,
            "recipients": [recipient],
            "smtpResponse": "250 2.6.0 Message received",
            "reportingMTA": "simulator.amazonses.com",
        },
    }


def _delay(recipient: str, stamp: str) -> dict[str, Any]:
    delayed = {"emailAddress": recipient, "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 Unable to connect"}
    return {
        "eventType": "DeliveryDelay",
        "deliveryDelay": {
            "timestamp": stamp,
            "delayType": "TransientCommunicationFailure",
            "expirationTime": stamp,
            "delayedRecipients": [delayed],
        },
    }


def _complaint(recipient: str, stamp: str) -> dict[str, Any]:
    return {
        "eventType": "Complaint",
        "complaint": {
            "complainedRecipients": [{"emailAddress": recipient}],
            "timestamp": stamp,
            "feedbackId": f"{uuid4()}-000000",
            "userAgent": "simulator",
            "complaintFeedbackType": "abuse",
            "arrivalDate": stamp,
        },
    }


def _reader(kind: str, more: dict[str, Any]) -> Any:
    def event(recipient: str, stamp: str) -> dict[str, Any]:
        seen = {"timestamp": stamp, "ipAddress": "192.0.2.20", "userAgent": "simulator", **more}
        return {"eventType": kind, kind.lower(): seen}

    return event


_EVENTS: dict[Kind, Any] = {
    "accepted": lambda recipient, stamp: {"eventType": "Send", "send": {}},
    "delivered": _delivery,
    "deferred": _delay,
    "bounced": _bounce("Permanent", "General", "5.1.1", "550 5.1.1 user unknown"),
    "soft_bounced": _bounce("Transient", "MailboxFull", "4.2.2", "452 4.2.2 mailbox full"),
    "rejected": lambda recipient, stamp: {"eventType": "Reject", "reject": {"reason": "Bad content"}},
    "complained": _complaint,
    "opened": _reader("Open", {}),
    "clicked": _reader("Click", {"link": "https://example.com/", "linkTags": None}),
}


def _told(mail: Kept, stamp: str) -> dict[str, Any]:
    """The object `mail` of every event. Tags are lists, and SES adds some of its own."""
    return {
        "timestamp": mail.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": mail.sender,
        "sendingAccountId": "123456789012",
        "messageId": mail.identifier,
        "destination": mail.recipients,
        "headersTruncated": False,
        "headers": [],
        "commonHeaders": {"subject": mail.subject, "messageId": mail.identifier},
        "tags": {"ses:source-ip": ["192.0.2.1"], **{name: [value] for name, value in mail.variables.items()}},
    }


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"message": message}, status, headers={"x-amzn-ErrorType": code})


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("SerializationException", "The request body is not JSON.") from None


def _mail(body: dict[str, Any]) -> Kept:
    destination = body.get("Destination") or {}
    recipients = [one for kind in ("To", "Cc", "Bcc") for one in destination.get(f"{kind}Addresses") or []]
    raw = _raw(body)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    senders = getaddresses([body.get("FromEmailAddress") or _header(message, "from")])
    recipients = recipients or [address for _, address in getaddresses([_header(message, "to")])]
    if not senders or not senders[0][1]:
        raise Refused("BadRequestException", "Missing required header 'From'.")
    _check(senders[0][1], recipients)
    return Kept(
        identifier=f"{int(time.time() * 1000):016x}-{uuid4()}-000000",
        sender=senders[0][1],
        recipients=recipients,
        subject=_header(message, "subject"),
        raw=raw,
        variables=_tags(body.get("EmailTags") or []),
    )


def _header(message: EmailMessage | Any, name: str) -> str:
    return str(message.get(name, ""))


def _raw(body: dict[str, Any]) -> bytes:
    try:
        return b64decode(body["Content"]["Raw"]["Data"], validate=True)
    except (KeyError, TypeError, NotBase64):
        raise Refused("BadRequestException", "This simulator takes Content.Raw.Data and nothing else.") from None


def _check(sender: str, recipients: list[str]) -> None:
    if not recipients:
        raise Refused("BadRequestException", "Missing final '@domain'")
    if len(recipients) > MOST_RECIPIENTS:
        raise Refused("MessageRejected", "Recipient count exceeds 50.")
    for address in (sender, *recipients):
        if not _PLAIN_ADDRESS.fullmatch(address):
            raise Refused("BadRequestException", "Local address contains control or whitespace")
    if outcomes.word(sender) == "unverified":
        raise Refused(
            "MessageRejected",
            f"Email address is not verified. The following identities failed the check in region {REGION}: {sender}",
        )
    if outcomes.refused(recipients):
        raise Refused("MessageRejected", "Transaction failed: the message was not accepted.")


def _tags(tags: list[dict[str, str]]) -> dict[str, str]:
    for tag in tags:
        for word in (tag.get("Name", ""), tag.get("Value", "")):
            if not _TAG.fullmatch(word):
                raise Refused(
                    "BadRequestException", "Tags take ASCII letters, numbers, underscores and hyphens, at most 256."
                )
    return {tag["Name"]: tag["Value"] for tag in tags}
