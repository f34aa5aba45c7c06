"""Postmark: POST /email, GET /server, and webhooks, which are not signed: basic auth in the URL guards them.

https://postmarkapp.com/developer/api/email-api, …/developer/webhooks
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
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

TOKEN = "simulator-token"  # noqa: S105 - the default of a test server
MOST_RECIPIENTS, LARGEST = 50, 10_000_000

BOUNCE = {"RecordType": "Bounce", "ServerID": 23, "DumpAvailable": True}
EVENTS: dict[Kind, dict[str, Any]] = {
    "delivered": {"RecordType": "Delivery", "ServerID": 23, "Details": "smtp;250 2.0.0 OK"},
    "bounced": {
        **BOUNCE, "Type": "HardBounce", "TypeCode": 1, "Name": "Hard bounce", "Inactive": True, "CanActivate": True,
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
    },
    "soft_bounced": {
        **BOUNCE, "Type": "SoftBounce", "TypeCode": 4096, "Name": "Soft bounce", "Inactive": False,
        "CanActivate": False, "Description": "Unable to temporarily deliver message (e.g. mailbox full).",
        "Details": "smtp;452 4.2.2 The email account that you tried to reach is over quota.",
    },
    "deferred": {
        **BOUNCE, "Type": "Transient", "TypeCode": 2, "Name": "Message delayed", "Inactive": False,
        "CanActivate": False, "Description": "The server could not temporarily deliver your message.",
        "Details": "smtp;451 4.7.1 greylisted, try again later",
    },
    "rejected": {
        **BOUNCE, "Type": "Blocked", "TypeCode": 100006, "Name": "ISP block", "Inactive": False, "CanActivate": False,
        "Description": "Blocked from this ISP due to content or blacklisting.",
        "Details": "smtp;554 5.7.1 blocked by policy",
    },
    "complained": {
        **BOUNCE, "RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 512, "Name": "Spam complaint",
        "Description": "The subscriber explicitly marked this message as spam.", "Details": "Test spam complaint",
        "Inactive": True, "CanActivate": False,
    },
    "unsubscribed": {
        "RecordType": "SubscriptionChange", "ServerID": 23, "Origin": "Recipient", "SuppressSending": True,
        "SuppressionReason": "ManualSuppression",
    },
    "opened": {"RecordType": "Open", "ServerID": 23, "FirstOpen": True, "UserAgent": "simulator"},
    "clicked": {
        "RecordType": "Click", "ServerID": 23, "OriginalLink": "https://example.com/", "ClickLocation": "HTML",
        "UserAgent": "simulator",
    },
}  # fmt: skip
_MOMENT = {
    "Delivery": "DeliveredAt", "Bounce": "BouncedAt", "SpamComplaint": "BouncedAt", "Open": "ReceivedAt",
    "Click": "ReceivedAt", "SubscriptionChange": "ChangedAt",
}  # fmt: skip
_FIELDS = frozenset(
    ("From", "To", "Cc", "Bcc", "Subject", "Tag", "HtmlBody", "TextBody", "ReplyTo", "Headers", "TrackOpens",
     "TrackLinks", "Metadata", "Attachments", "MessageStream")
)  # fmt: skip
_STREAM = re.compile(r"[a-z0-9-]{1,30}")


class Refused(ValueError):
    """An ErrorCode and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Postmark(Simulator):
    """`inactive@…` among the recipients is left out and named, and alone refused with 406."""

    kind = "postmark"
    send_paths = ("/email",)

    def __init__(self, switches: Switches, *, token: str = TOKEN, **others: Any) -> None:
        super().__init__(switches, **others)
        self._token = token

    def about(self) -> dict[str, Any]:
        return {"serverToken": self._token}

    def routes(self) -> list[Route]:
        return [Route("/server", self._server)]

    async def _server(self, request: Request) -> Response:
        return self.unauthorised(request, b"") or JSONResponse({"ID": 23, "Name": "Simulator", "Color": "blue"})

    def unauthorised(self, request: Request, body: bytes) -> Response | None:
        token = request.headers.get("x-postmark-server-token")
        if token == self._token:
            return None
        if token is None:
            return _error(401, 10, "No Account or Server API tokens were supplied in the HTTP headers.")
        return _error(401, 10, "Request does not contain a valid Server token.")

    def throttled(self) -> Response:
        return _error(429, 429, "Rate limit exceeded.")

    def failed(self, status: int) -> Response:
        return _error(status, 100, "Postmark is offline for maintenance.") if status == 503 else Response("", status)

    async def accept(self, request: Request, body: bytes) -> Kept | Response:
        if len(body) > LARGEST:
            return Response("Payload Too Large", 413)
        try:
            return _mail(_object(body))
        except Refused as error:
            return _error(422, error.code, error.message)
        except Invalid as error:
            return _error(422, 300, f"Invalid email request: {error}")

    def accepted(self, mail: Kept) -> Response:
        inactive = [email for email in mail.recipients if outcomes.word(email) == outcomes.INACTIVE]
        words = f"Message OK, but will not deliver to these inactive addresses: {', '.join(inactive)}."
        return JSONResponse(
            {
                "To": ", ".join(mail.recipients),
                "SubmittedAt": mail.at.isoformat(),
                "MessageID": mail.identifier,
                "ErrorCode": 0,
                "Message": words if inactive else "OK",
            }
        )

    def event(self, mail: Kept, recipient: str, kind: Kind, at: datetime) -> dict[str, Any] | None:
        if kind not in EVENTS or outcomes.word(recipient) == outcomes.INACTIVE:
            return None
        event = EVENTS[kind]
        record = event["RecordType"]
        bounced = record in ("Bounce", "SpamComplaint")
        numbered = {"ID": _number(mail.identifier, recipient, kind), "From": mail.sender, "Subject": mail.subject}
        return {
            **event,
            "MessageID": mail.identifier,
            "MessageStream": "outbound",
            "Metadata": mail.variables,
            "Tag": mail.tags[0] if mail.tags else "",
            ("Email" if bounced else "Recipient"): recipient,
            _MOMENT[record]: at.isoformat(),
            **(numbered if bounced else {}),
        }

    def posts(self, events: list[dict[str, Any]]) -> list[Post]:
        return [Post({"Content-Type": "application/json"}, msgspec.json.encode(event)) for event in events]


def _number(*words: str) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(words).encode()).digest()[:5], "big")


def _error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"ErrorCode": code, "Message": message}, status)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(402, "Received an invalid JSON input.") from None


def _mail(body: dict[str, Any]) -> Kept:
    if unknown := set(body) - _FIELDS:
        raise Refused(403, f"The JSON that you sent contains unknown fields: {', '.join(sorted(unknown))}.")
    senders, to, cc, bcc = (_mailboxes(body, name) for name in ("From", "To", "Cc", "Bcc"))
    everybody = [one.email for one in (*to, *cc, *bcc)]
    if len(senders) != 1:
        raise Refused(300, "Invalid 'From' address.")
    if not to:
        raise Refused(300, "Zero recipients specified")
    if len(everybody) > MOST_RECIPIENTS:
        raise Refused(300, f"Too many recipients: {len(everybody)} of at most {MOST_RECIPIENTS}.")
    if not body.get("TextBody") and not body.get("HtmlBody"):
        raise Refused(300, "Provide either email TextBody or HtmlBody or both.")
    if not _STREAM.fullmatch(body.get("MessageStream", "outbound")):
        raise Refused(1235, "The 'MessageStream' provided does not exist on this server.")
    _refuse(everybody)
    raw = compose.compose(
        senders[0],
        to,
        cc,
        reply_to=_mailboxes(body, "ReplyTo"),
        subject=body.get("Subject", ""),
        text=body.get("TextBody"),
        html=body.get("HtmlBody"),
        headers=_headers(body.get("Headers") or []),
        attachments=[_file(one) for one in body.get("Attachments") or []],
        domain="mtasv.example",
    )
    return Kept(
        identifier=str(uuid4()),
        sender=senders[0].email,
        recipients=everybody,
        subject=body.get("Subject", ""),
        raw=raw,
        tags=[body["Tag"]] if body.get("Tag") else [],
        variables=_metadata(body.get("Metadata") or {}),
    )


def _refuse(everybody: list[str]) -> None:
    if email := outcomes.refused(everybody):
        raise Refused(300, f"Invalid 'To' address: '{email}'.")
    if all(outcomes.word(email) == outcomes.INACTIVE for email in everybody):
        raise Refused(
            406,
            "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: "
            f"{', '.join(everybody)}. Inactive recipients are ones that have generated a hard bounce, a spam "
            "complaint, or a manual suppression.",
        )


def _mailboxes(body: dict[str, Any], name: str) -> list[Address]:
    try:
        return compose.mailboxes(body.get(name) or "")
    except Invalid as error:
        raise Refused(300, f"Error parsing '{name}': {error}.") from None


def _headers(headers: list[Any]) -> list[tuple[str, str]]:
    try:
        return [(one["Name"], one["Value"]) for one in headers]
    except (TypeError, KeyError):
        raise Refused(403, "The headers have to be objects of Name and Value.") from None


def _metadata(metadata: dict[str, Any]) -> dict[str, str]:
    for name, value in metadata.items():
        if len(name) > 20 or len(str(value)) > 80 or len(metadata) > 10:
            raise Refused(300, "Metadata takes 10 fields, names of 20 and values of 80 characters.")
    return {name: str(value) for name, value in metadata.items()}


def _file(one: dict[str, Any]) -> Any:
    if one.get("Name", "").lower().endswith((".exe", ".bat", ".vbs")):
        raise Refused(411, "Forbidden file attachment.")
    identifier = one.get("ContentID", "").removeprefix("cid:")
    return compose.attachment(one["Content"], one["Name"], one.get("ContentType", ""), identifier)
