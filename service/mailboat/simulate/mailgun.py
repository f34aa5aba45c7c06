"""Mailgun: POST /v3/{domain}/messages and messages.mime, and webhooks signed with HMAC.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages, …/user-manual/webhooks
"""

from __future__ import annotations

import email
import email.policy
import hmac
import secrets
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import datetime
from email.utils import getaddresses
from typing import Any
from uuid import uuid4

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mailboat.simulate import compose, outcomes
from mailboat.simulate.compose import Invalid
from mailboat.simulate.courier import Post
from mailboat.simulate.mails import Kept
from mailboat.simulate.outcomes import Kind
from mailboat.simulate.server import Simulator
from mailboat.simulate.switches import Switches

KEY, SIGNING_KEY = "key-simulator", "simulator-signing-key"
MOST_RECIPIENTS, LARGEST, MOST_TAGS = 1000, 25_000_000, 10

_DELIVERY = {"tls": True, "mx-host": "mx.example.com", "attempt-no": 1, "session-seconds": 0.5, "utf8": True}
EVENTS: dict[Kind, dict[str, Any]] = {
    "accepted": {"event": "accepted", "method": "HTTP"},
    "delivered": {
        "event": "delivered",
        "delivery-status": {**_DELIVERY, "code": 250, "message": "OK", "description": ""},
    },
    "deferred": {
        "event": "failed", "severity": "temporary", "reason": "greylisted", "log-level": "warn",
        "delivery-status": {
            **_DELIVERY, "code": 450, "retry-seconds": 300, "message": "Recipient address rejected: Greylisted",
            "description": "",
        },
    },
    "bounced": {
        "event": "failed", "severity": "permanent", "reason": "bounce", "log-level": "error",
        "delivery-status": {
            **_DELIVERY, "code": 550, "message": "5.1.1 The email account that you tried to reach does not exist.",
            "description": "",
        },
    },
    "soft_bounced": {
        "event": "failed", "severity": "permanent", "reason": "generic", "log-level": "error",
        "delivery-status": {
            **_DELIVERY, "code": 452, "message": "4.2.2 The email account that you tried to reach is over quota.",
            "description": "",
        },
    },
    "rejected": {
        "event": "failed", "severity": "permanent", "reason": "suppress-bounce", "log-level": "error",
        "delivery-status": {"code": 605, "message": "", "description": "Not delivering to previously bounced address"},
    },
    "complained": {"event": "complained", "log-level": "warn"},
    "unsubscribed": {"event": "unsubscribed"},
    "opened": {"event": "opened", "ip": "192.0.2.20"},
    "clicked": {"event": "clicked", "url": "https://example.com/", "ip": "192.0.2.20"},
}  # fmt: skip


class Refused(ValueError):
    """A status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Mailgun(Simulator):
    """Any domain is one of the account's; `unknown.…` is not."""

    kind = "mailgun"
    send_paths = ("/v3/{domain}/messages", "/v3/{domain}/messages.mime")

    def __init__(self, switches: Switches, *, key: str = KEY, signing_key: str = SIGNING_KEY, **others: Any) -> None:
        super().__init__(switches, **others)
        self._authorization = b64encode(f"api:{key}".encode())
        self._key, self._signing_key = key, signing_key

    def about(self) -> dict[str, Any]:
        return {"apiKey": self._key, "webhookSigningKey": self._signing_key}

    def unauthorised(self, request: Request, body: bytes) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            authorised = scheme.lower() == "basic" and b64decode(token) == f"api:{self._key}".encode()
        except NotBase64:
            authorised = False
        return None if authorised else PlainTextResponse("Forbidden", 401)

    def throttled(self) -> Response:
        answer = _message(429, "Too many requests")
        answer.headers["Retry-After"] = "1"
        return answer

    def failed(self, status: int) -> Response:
        return _message(status, "Internal Server Error")

    async def accept(self, request: Request, body: bytes) -> Kept | Response:
        domain = request.path_params["domain"]
        if domain.startswith("unknown."):
            return _message(404, f"Domain not found: {domain}")
        if len(body) > LARGEST:
            return _message(413, "Request Entity Too Large")
        async with request.form(max_part_size=LARGEST) as form:
            try:
                return await _mail(form, domain, mime=request.url.path.endswith(".mime"))
            except Refused as error:
                return _message(error.status, error.message)
            except Invalid as error:
                return _message(400, str(error))

    def accepted(self, mail: Kept) -> Response:
        return JSONResponse({"id": f"<{mail.identifier}>", "message": "Queued. Thank you."})

    def event(self, mail: Kept, recipient: str, kind: Kind, at: datetime) -> dict[str, Any]:
        return {
            "log-level": "info",
            **EVENTS[kind],
            "id": secrets.token_urlsafe(16),
            "timestamp": at.timestamp(),
            "recipient": recipient,
            "recipient-domain": recipient.partition("@")[2],
            "tags": mail.tags,
            "user-variables": mail.variables,
            "campaigns": [],
            "flags": {"is-routed": False, "is-authenticated": True, "is-system-test": False, "is-test-mode": False},
            "envelope": {"sender": mail.sender, "targets": recipient, "transport": "smtp", "sending-ip": "192.0.2.10"},
            "message": {
                "headers": {
                    "to": recipient, "from": mail.sender, "subject": mail.subject, "message-id": mail.identifier,
                },
                "attachments": [],
                "size": len(mail.raw),
            },
        }  # fmt: skip

    def posts(self, events: list[dict[str, Any]]) -> list[Post]:
        return [
            Post(
                {"Content-Type": "application/json"},
                msgspec.json.encode({"signature": self._signature(), "event-data": event}),
            )
            for event in events
        ]

    def _signature(self) -> dict[str, str]:
        """Over time and token; the event itself is not covered."""
        stamp, token = str(int(time.time())), secrets.token_hex(25)
        signature = hmac.digest(self._signing_key.encode(), f"{stamp}{token}".encode(), "sha256").hex()
        return {"timestamp": stamp, "token": token, "signature": signature}


def _message(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


async def _mail(form: FormData, domain: str, *, mime: bool) -> Kept:
    """Raises Refused."""
    if not mime and not form.get("from"):
        raise Refused(400, "'from' parameter is missing")
    kinds = ("to",) if mime else ("to", "cc", "bcc")
    recipients = [address for kind in kinds for _, address in getaddresses(_texts(form, kind)) if address]
    if not form.get("to"):
        raise Refused(400, "'to' parameter is missing")
    if len(recipients) > MOST_RECIPIENTS:
        raise Refused(400, "Too many recipients; max is 1000")
    for address in recipients:
        _check(address)
    raw = await _message_file(form) if mime else _composed(form, domain)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    senders = getaddresses([str(message.get("from", ""))])
    if not senders or not senders[0][1]:
        raise Refused(400, "'from' parameter is missing")
    tags = _texts(form, "o:tag")
    if len(tags) > MOST_TAGS or not all(tag.isascii() and len(tag) <= 128 for tag in tags):
        raise Refused(400, f"tags: at most {MOST_TAGS}, each of at most 128 ASCII characters")
    return Kept(
        identifier=str(message.get("message-id", f"{uuid4().hex}@{domain}")).strip("<> "),
        sender=senders[0][1],
        recipients=recipients,
        subject=str(message.get("subject", "")),
        raw=raw,
        tags=tags,
        variables=_variables(form),
    )


def _check(address: str) -> None:
    if outcomes.word(address) == outcomes.REFUSED or "@" not in address:
        raise Refused(400, "to parameter is not a valid address. please check documentation")
    compose.mailbox(address)


async def _message_file(form: FormData) -> bytes:
    file = form.get("message")
    if not isinstance(file, UploadFile):
        raise Refused(400, "'message' parameter is missing")
    return await file.read()


def _composed(form: FormData, domain: str) -> bytes:
    if not form.get("text") and not form.get("html"):
        raise Refused(400, "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified")
    return compose.compose(
        compose.mailboxes(_text(form, "from"))[0],
        compose.mailboxes(", ".join(_texts(form, "to"))),
        compose.mailboxes(", ".join(_texts(form, "cc"))),
        reply_to=[],
        subject=_text(form, "subject"),
        text=_text(form, "text") or None,
        html=_text(form, "html") or None,
        headers=_prefixed(form, "h:").items(),
        attachments=(),
        domain=domain,
    )


def _variables(form: FormData) -> dict[str, str]:
    variables = _prefixed(form, "v:")
    if sum(len(name) + len(value) for name, value in variables.items()) > 16_384:
        raise Refused(400, "o:, h: and v: parameters are limited to 16 kB")
    return variables


def _prefixed(form: Mapping[str, Any], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): str(value) for name, value in form.items() if name.startswith(prefix)}


def _texts(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]


def _text(form: FormData, name: str) -> str:
    return next(iter(_texts(form, name)), "")
