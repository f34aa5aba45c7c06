"""SendGrid: POST /v3/mail/send, GET /v3/scopes, and the signed event webhook.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send, …/for-developers/tracking-events/event
"""

from __future__ import annotations

import re
import time
from base64 import b64encode, urlsafe_b64encode
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mailboat.domain.address import Address
from mailboat.simulate import compose, outcomes
from mailboat.simulate.compose import Invalid
from mailboat.simulate.courier import Post
from mailboat.simulate.mails import Kept
from mailboat.simulate.outcomes import Kind
from mailboat.simulate.server import Simulator
from mailboat.simulate.switches import Switches

KEY = "SG.simulator"
FORBIDDEN_HEADERS = frozenset(
    ("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding",
     "to", "from", "subject", "reply-to", "cc", "bcc")
)  # fmt: skip
MOST_RECIPIENTS, MOST_CATEGORIES, LARGEST_ARGS, LARGEST = 1000, 10, 10_000, 30_000_000

EVENTS: dict[Kind, dict[str, Any]] = {
    "accepted": {"event": "processed"},
    "delivered": {"event": "delivered", "response": "250 2.0.0 OK", "ip": "192.0.2.10", "tls": 1},
    "deferred": {"event": "deferred", "response": "451 4.7.1 greylisted, try again later", "attempt": "1"},
    "bounced": {
        "event": "bounce", "type": "bounce", "status": "5.1.1", "tls": 1, "ip": "192.0.2.10",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "bounce_classification": "Invalid Address",
    },
    "soft_bounced": {
        "event": "bounce", "type": "blocked", "status": "4.2.2", "tls": 1, "ip": "192.0.2.10",
        "reason": "452 4.2.2 The email account that you tried to reach is over quota.",
        "bounce_classification": "Mailbox Unavailable",
    },
    "rejected": {"event": "dropped", "reason": "Bounced Address"},
    "complained": {"event": "spamreport"},
    "unsubscribed": {"event": "unsubscribe"},
    "opened": {"event": "open", "ip": "192.0.2.20", "useragent": "simulator"},
    "clicked": {"event": "click", "url": "https://example.com/", "ip": "192.0.2.20", "useragent": "simulator"},
}  # fmt: skip

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Refused(ValueError):
    """What SendGrid says to a request that is not valid, and about which field."""

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.message, self.field = message, field


class SendGrid(Simulator):
    """Events of one mail come in one signed array."""

    kind = "sendgrid"
    send_paths = ("/v3/mail/send",)

    def __init__(self, switches: Switches, *, key: str = KEY, **others: Any) -> None:
        super().__init__(switches, **others)
        self._key = key
        self._signer = ec.generate_private_key(ec.SECP256R1())

    def about(self) -> dict[str, Any]:
        public = self._signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"apiKey": self._key, "webhookPublicKey": b64encode(public).decode()}

    def routes(self) -> list[Route]:
        return [Route("/v3/scopes", self._scopes)]

    async def _scopes(self, request: Request) -> Response:
        return self.unauthorised(request, b"") or JSONResponse({"scopes": ["mail.send", "user.account.read"]})

    def unauthorised(self, request: Request, body: bytes) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self._key}":
            return None
        return _errors(401, "The provided authorization grant is invalid, expired, or revoked")

    def throttled(self) -> Response:
        """SendGrid says when, in Unix time, and has no Retry-After."""
        answer = _errors(429, "too many requests")
        answer.headers["X-RateLimit-Remaining"] = "0"
        answer.headers["X-RateLimit-Reset"] = str(int(time.time()) + 1)
        return answer

    def failed(self, status: int) -> Response:
        return _errors(status, "Internal server error")

    async def accept(self, request: Request, body: bytes) -> Kept | Response:
        if len(body) >= LARGEST:
            return _errors(413, "Request Entity Too Large")
        try:
            return _mail(_object(body))
        except Refused as error:
            return _errors(400, error.message, error.field)
        except Invalid as error:
            return _errors(400, str(error))

    def accepted(self, mail: Kept) -> Response:
        return Response(status_code=202, headers={"X-Message-Id": mail.identifier})

    def event(self, mail: Kept, recipient: str, kind: Kind, at: datetime) -> dict[str, Any]:
        return {
            "email": recipient,
            "timestamp": int(at.timestamp()),
            "smtp-id": f"<{mail.identifier}@geopod-ismtpd-simulator>",
            **EVENTS[kind],
            **({"category": mail.tags} if mail.tags else {}),
            "sg_event_id": urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode(),
            "sg_message_id": f"{mail.identifier}.recvd-simulator-1-0.0",
            **mail.variables,
        }

    def posts(self, events: list[dict[str, Any]]) -> list[Post]:
        if not events:
            return []
        body = msgspec.json.encode(events) + b"\r\n"
        stamp = str(int(time.time()))
        signature = b64encode(self._signer.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        return [
            Post(
                {
                    "Content-Type": "application/json",
                    "X-Twilio-Email-Event-Webhook-Signature": signature,
                    "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
                },
                body,
            )
        ]


def _errors(status: int, message: str, field: str | None = None) -> Response:
    return JSONResponse({"errors": [{"message": message, "field": field, "help": None}]}, status)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("Bad Request", None) from None


def _mail(body: dict[str, Any]) -> Kept:
    """One for the whole request, as there is one X-Message-Id. Raises Refused and Invalid."""
    found = _recipients(body.get("personalizations"))
    if email := outcomes.refused([one.email for _, one in found]):
        raise Refused(f"Does not contain a valid address: {email}", "personalizations.0.to.0.email")
    sender = _mailbox(body.get("from"), "from")
    subject = _text(body.get("subject"), "The subject is required.", "subject")
    content = _content(body.get("content"))
    replies = body.get("reply_to_list") or [one for one in [body.get("reply_to")] if one]
    raw = compose.compose(
        sender,
        [one for kind, one in found if kind == "to"],
        [one for kind, one in found if kind == "cc"],
        reply_to=[_mailbox(one, "reply_to") for one in replies],
        subject=subject,
        text=content.get("text/plain"),
        html=content.get("text/html"),
        headers=_headers(body.get("headers") or {}),
        attachments=[_file(one) for one in body.get("attachments") or []],
        domain="geopod-ismtpd-simulator",
    )
    return Kept(
        identifier=urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode(),
        sender=sender.email,
        recipients=[one.email for _, one in found],
        subject=subject,
        raw=raw,
        tags=_categories(body.get("categories") or []),
        variables=_arguments(body.get("custom_args") or {}),
    )


def _recipients(personalizations: Any) -> list[tuple[str, Address]]:
    if not isinstance(personalizations, list) or not personalizations:
        raise Refused("The personalizations field is required and must have at least one personalization.", None)
    found: list[tuple[str, Address]] = []
    for number, one in enumerate(personalizations):
        place = f"personalizations.{number}"
        if not isinstance(one, dict) or not one.get("to"):
            message = (
                "The to array is required for all personalization objects, and must have at least one email object "
                "with a valid email address."
            )
            raise Refused(message, f"{place}.to")
        here = [(kind, _named(box, f"{place}.{kind}")) for kind in ("to", "cc", "bcc") for box in one.get(kind) or []]
        emails = [box.email.lower() for _, box in here]
        if len(set(emails)) < len(emails):
            raise Refused("Each email address in the personalization block should be unique.", place)
        found += here
    if len(found) > MOST_RECIPIENTS:
        raise Refused(f"There are more than {MOST_RECIPIENTS} recipients.", "personalizations")
    return found


def _mailbox(box: Any, place: str) -> Address:
    if not isinstance(box, dict) or not isinstance(box.get("email"), str) or not isinstance(box.get("name", ""), str):
        raise Refused(f"The {place} object must be provided for every email send.", f"{place}.email")
    try:
        return compose.mailbox(box["email"], box.get("name", ""))
    except Invalid:
        raise Refused("Does not contain a valid address.", f"{place}.email") from None


def _named(box: Any, place: str) -> Address:
    """Stricter than the real one, which takes `Doe, Jane` for two addresses and drops the mail later."""
    found = _mailbox(box, place)
    if quoted := _QUOTED.fullmatch(found.name):
        return Address(found.email, re.sub(r"\\(.)", r"\1", quoted[1]))
    if "," in found.name or ";" in found.name:
        raise Refused("The name may not contain a comma or a semicolon unless it is quoted.", f"{place}.name")
    return found


def _content(parts: Any) -> dict[str, str]:
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise Refused("Unless a valid template_id is provided, the content parameter is required.", "content")
    kinds = [part.get("type") for part in parts]
    if "text/plain" in kinds[1:]:
        raise Refused("If present, text/plain and text/html may only be provided once, in that order.", "content")
    return {
        str(part.get("type")): _text(part.get("value"), "The content value must be a string.", "content.value")
        for part in parts
    }


def _text(value: Any, message: str, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise Refused(f"{message} It must be at least one character in length.", field)
    return value


def _headers(headers: dict[str, Any]) -> list[tuple[str, str]]:
    for name, value in headers.items():
        if name.lower() in FORBIDDEN_HEADERS or not isinstance(value, str):
            raise Refused(f"The following header is reserved and cannot be overridden: {name}", "headers")
    return list(headers.items())


def _categories(categories: Any) -> list[str]:
    if not isinstance(categories, list) or len(categories) > MOST_CATEGORIES or len(set(categories)) < len(categories):
        raise Refused("The categories must be at most ten, and unique.", "categories")
    if not all(isinstance(one, str) and len(one) <= 255 for one in categories):
        raise Refused("Each category name may not exceed 255 characters.", "categories")
    return categories


def _arguments(arguments: Any) -> dict[str, str]:
    if not isinstance(arguments, dict) or len(msgspec.json.encode(arguments)) >= LARGEST_ARGS:
        raise Refused("The custom arguments may not exceed 10000 bytes.", "custom_args")
    return {name: str(value) for name, value in arguments.items()}


def _file(one: Any) -> Any:
    if not isinstance(one, dict) or not one.get("content") or not one.get("filename"):
        raise Refused("The attachment content and filename are required.", "attachments.0.content")
    return compose.attachment(
        one["content"], one["filename"], one.get("type", "application/octet-stream"), one.get("content_id", "")
    )
