"""Resend's words: their requests as ours, our refusals as theirs. What `/emails` speaks (`routes.emails`).

After Resend's API reference and its SDKs for Node and Python, which read an error's `name`, `message`, `statusCode`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from mailboat.api import problems
from mailboat.delivery.attach import AttachmentRequest
from mailboat.delivery.validate import BatchItem
from mailboat.domain.address import Address
from mailboat.domain.status import Status
from mailboat.errors import Problem

PATH = "/emails"
MOST_IN_BATCH = 100
LONGEST_KEY = 256


class NodeBuffer(msgspec.Struct, forbid_unknown_fields=True):
    """What JSON makes of Node's Buffer."""

    type: str
    data: list[int]


class ResendAttachment(msgspec.Struct, forbid_unknown_fields=True):
    """An attachment: `content` is base64, or the octets as numbers."""

    filename: str | None = None
    content: str | list[int] | NodeBuffer | None = None
    path: str | None = None
    content_type: str | None = None
    content_id: str | None = None
    inline_content_id: str | None = None


class ResendTag(msgspec.Struct, forbid_unknown_fields=True):
    """A word to find messages by."""

    name: str
    value: str


class ResendTemplate(msgspec.Struct, forbid_unknown_fields=True):
    """A template by its name, and its data."""

    id: str
    variables: dict[str, Any] | None = None


class ResendEmail(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from"}):
    """The body of POST /emails."""

    to: str | list[str]
    sender: str | None = None
    subject: str | None = None
    cc: str | list[str] | None = None
    bcc: str | list[str] | None = None
    reply_to: str | list[str] | None = None
    html: str | None = None
    text: str | None = None
    headers: dict[str, str] | None = None
    attachments: list[ResendAttachment] | None = None
    tags: list[ResendTag] | None = None
    scheduled_at: str | None = None
    template: ResendTemplate | None = None


class ResendChange(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PATCH /emails/{id}; the SDK for Python repeats the `id` in it."""

    scheduled_at: str
    id: str | None = None


def request(email: ResendEmail, field: str = "", key: str | None = None) -> BatchItem:
    """The same for `delivery.validate`; `field`: where it stands (`[3].`). Raises Problem 422."""
    return BatchItem(
        to=email.to,
        sender=email.sender,
        cc=email.cc or [],
        bcc=email.bcc or [],
        reply_to=email.reply_to or [],
        subject=email.subject,
        html=email.html,
        text=email.text,
        headers=email.headers or {},
        attachments=[_file(file, f"{field}attachments[{n}]") for n, file in enumerate(email.attachments or [])],
        tags=_tags(email.tags or [], f"{field}tags"),
        send_at=moment(email.scheduled_at, f"{field}scheduled_at") if email.scheduled_at is not None else None,
        template=email.template.id if email.template else None,
        data=(email.template.variables or {}) if email.template else {},
        idempotency_key=key,
    )


def key_in_batch(key: str | None, place: int) -> str | None:
    """The key of one message of a batch that has one for all."""
    return f"batch-{hashlib.sha256(key.encode()).hexdigest()}-{place}" if key is not None else None


def moment(text: str, field: str = "scheduled_at") -> datetime:
    """An ISO 8601 time with a zone. Raises Problem 422."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Problem(
            422,
            "invalid_field",
            f"{field} has to be a time in ISO 8601 with its zone, like 2026-12-01T09:00:00Z; "
            f"words such as 'in 1 min' are not read here. It is {text[:80]!r}.",
            field=field,
        )
    return found


def _file(file: ResendAttachment, field: str) -> AttachmentRequest:
    if file.content is None and file.path is None:
        raise _unusable(field, "Attachment must have either a `content` or `path`.")
    return AttachmentRequest(
        filename=file.filename,
        content=_base64(file.content, f"{field}.content") if file.content is not None else None,
        url=file.path,
        content_type=file.content_type,
        content_id=file.content_id or file.inline_content_id,
    )


def _base64(content: str | list[int] | NodeBuffer, field: str) -> str:
    if isinstance(content, str):
        return content
    numbers = content.data if isinstance(content, NodeBuffer) else content
    try:
        return msgspec.json.encode(bytes(numbers)).decode().strip('"')
    except ValueError:
        raise _unusable(field, "content as a list holds octets: numbers from 0 to 255.") from None


def _unusable(field: str, detail: str) -> Problem:
    return Problem(422, "invalid_attachment", detail, field=field)


def _tags(tags: list[ResendTag], field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for n, tag in enumerate(tags):
        if tag.name in found:
            raise Problem(
                422, "invalid_field", f"The tag {tag.name[:80]!r} is given twice.", field=f"{field}[{n}].name"
            )
        found[tag.name] = tag.value
    return found


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

LAST_EVENT: dict[Status, str] = {
    "scheduled": "scheduled",
    "queued": "queued",
    "sending": "queued",
    "cancelled": "canceled",
    "held": "delivery_delayed",
    "dead": "failed",
    "sent": "sent",
    "deferred": "delivery_delayed",
    "failed": "failed",
    "rejected": "failed",
    "delivered": "delivered",
    "bounced": "bounced",
    "complained": "complained",
}
"""Our status as Resend's `last_event`."""

# Our code to their status and name; what is not here keeps its status and is a validation_error.
NAMES = {
    "missing_field": (422, "missing_required_field"),
    "invalid_attachment": (422, "invalid_attachment"),
    "sender_not_allowed": (403, "validation_error"),
    "unauthorized": (403, "invalid_api_key"),
    "missing_api_key": (401, "missing_api_key"),
    "client_suspended": (403, "suspended_api_key"),
    "not_found": (404, "not_found"),
    "template_not_found": (404, "not_found"),
    "method_not_allowed": (405, "method_not_allowed"),
    "invalid_idempotency_key": (400, "invalid_idempotency_key"),
    "idempotency_key_reused": (409, "invalid_idempotent_request"),
    "not_cancellable": (422, "validation_error"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "quota_exceeded": (429, "monthly_quota_exceeded"),
    "internal_error": (500, "internal_server_error"),
    "unavailable": (503, "application_error"),
    "outcome_unknown": (503, "application_error"),
}
ANSWERS = {
    "400": ("validation_error", "invalid_idempotency_key"),
    "401": ("missing_api_key",),
    "403": ("invalid_api_key", "suspended_api_key", "validation_error"),
    "404": ("not_found",),
    "408": ("validation_error",),
    "409": ("invalid_idempotent_request",),
    "413": ("validation_error",),
    "415": ("validation_error",),
    "422": ("validation_error", "missing_required_field", "invalid_attachment"),
    "429": ("rate_limit_exceeded", "monthly_quota_exceeded"),
    "500": ("internal_server_error",),
    "503": ("application_error",),
}
ERROR = {
    "type": "object",
    "title": "ResendError",
    "description": "A refusal as Resend words it.",
    "required": ["statusCode", "name", "message"],
    "properties": {
        "statusCode": {"type": "integer"},
        "name": {"type": "string", "enum": sorted({name for names in ANSWERS.values() for name in names})},
        "message": {"type": "string"},
    },
}


def written(one: Address) -> str:
    """An address as Resend shows it: `Ada Lovelace <ada@example.com>`."""
    return f"{one.name} <{one.email}>" if one.name else one.email


def speaks(path: str) -> bool:
    """Whether Resend's SDKs call this path."""
    return path == PATH or path.startswith(f"{PATH}/")


def refusal(problem: Problem) -> Problem:
    """The same refusal with Resend's status, and its name as the code."""
    status, name = NAMES.get(problem.code, (problem.status, "validation_error"))
    return Problem(status, name, problem.detail, headers=problem.headers)


def body(refused: Problem) -> bytes:
    """The JSON of what `refusal` gave."""
    return msgspec.json.encode({"statusCode": refused.status, "name": refused.code, "message": refused.detail})


def answers() -> dict[str, dict[str, Any]]:
    """The refusals for the OpenAPI document, by their status."""
    return {
        status: {
            "description": "Refused: " + ", ".join(f"`{name}`" for name in names) + ".",
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/ResendError"},
                    "examples": {
                        name: {"value": {"statusCode": int(status), "name": name, "message": _meaning(name)}}
                        for name in names
                    },
                }
            },
        }
        for status, names in ANSWERS.items()
    }


def _meaning(name: str) -> str:
    ours = next((code for code, (_, theirs) in NAMES.items() if theirs == name), "invalid_field")
    return problems.CODES[ours][1] if ours in problems.CODES else "There is no API key in the Authorization header."
