"""Problems as answers: RFC 9457 application/problem+json with a stable `code`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from mailboat.errors import Problem

MEDIA_TYPE = "application/problem+json"

# Every code that the API answers with, its status and what it means: the page docs/api.md lists them.
CODES = {
    "malformed_json": (400, "The body is not JSON."),
    "malformed_webhook": (400, "The body is not what this provider sends."),
    "malformed_csv": (400, "The body is not CSV."),
    "too_deep": (400, "data or metadata is nested too deep."),
    "invalid_idempotency_key": (400, "The Idempotency-Key header cannot be used."),
    "invalid_cursor": (400, "The cursor is not one that a page gave."),
    "unauthorized": (401, "The key, the secret or the admin token is wrong, expired or revoked."),
    "forged": (401, "The sender of a webhook is not proven."),
    "client_suspended": (403, "The client is suspended."),
    "role_required": (403, "The viewer token may look and change nothing; this needs the admin token."),
    "not_found": (404, "There is no such thing."),
    "method_not_allowed": (405, "The path exists, the method does not."),
    "too_slow": (408, "The body did not come in time."),
    "already_exists": (409, "Another one has this name."),
    "idempotency_key_reused": (409, "The Idempotency-Key was used with another body."),
    "not_cancellable": (409, "The message is no longer waiting for its time."),
    "wrong_state": (409, "The message is not where this act would apply."),
    "body_too_large": (413, "The body is larger than the server reads."),
    "unsupported_media_type": (415, "The body is of a media type that is not read here."),
    "missing_field": (422, "A required field is missing."),
    "unknown_field": (422, "The body has a field that does not exist."),
    "invalid_field": (422, "A field has a value that cannot be used."),
    "invalid_data": (422, "The data do not fit the template's JSON Schema; field says where."),
    "invalid_address": (422, "A field is not a mail address."),
    "invalid_header": (422, "A header's name or value cannot be used."),
    "invalid_attachment": (422, "An attachment's name, type, id or content cannot be used."),
    "suppressed": (422, "A recipient must not be mailed again; the detail says why."),
    "too_many_recipients": (422, "The message has too many recipients."),
    "sender_not_allowed": (422, "The client may not send as this address."),
    "template_not_allowed": (422, "The client may not use this template."),
    "template_not_found": (422, "There is no template of this name."),
    "template_failed": (422, "The template fails with this data; the detail says where."),
    "template_broken": (422, "The template cannot be read; the detail says where."),
    "unstorable": (422, "The database refuses the message."),
    "rate_limited": (429, "The client's bucket is empty; Retry-After says when it is not."),
    "quota_exceeded": (429, "The client's monthly quota is used up."),
    "internal_error": (500, "A fault of the server; it is in its log."),
    "unavailable": (503, "A part of the server is away; nothing was accepted."),
    "outcome_unknown": (503, "The database went away while the message was being stored; it may have been accepted."),
}


def body(problem: Problem) -> bytes:
    """The JSON of a problem."""
    content: dict[str, Any] = {
        "type": f"https://mailboat.dev/problems/{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.field is not None:
        content["field"] = problem.field
    return msgspec.json.encode(content | problem.extra)
