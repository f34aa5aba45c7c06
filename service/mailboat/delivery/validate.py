"""Validate: from the bytes of a request to a draft, or a Problem that names the field.

Nothing that passes here can change its meaning later: addresses are parsed, header names and values are checked,
text that Postgres or SMTP cannot carry is refused.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from mailboat.db.states import Lane
from mailboat.delivery import senders
from mailboat.delivery.accept import Draft
from mailboat.delivery.attach import AttachmentRequest, Decoded
from mailboat.delivery.clients import Client
from mailboat.domain import address, identifier
from mailboat.domain.address import Address, InvalidAddress
from mailboat.domain.message import Content, Envelope
from mailboat.domain.revision import Revision
from mailboat.errors import Problem
from mailboat.providers.mime import header_fault
from mailboat.registry import schemas

DEEPEST = schemas.DEEPEST  # levels of nesting in data and metadata
LONGEST_KEY = 255  # characters of an Idempotency-Key
LONGEST_SUBJECT = 2000  # characters
MOST_HEADERS, MOST_TAGS = 50, 20
MOST_IN_BATCH = 1000
FURTHEST = timedelta(days=365)  # send_at
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


class SendRequest(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from"}, omit_defaults=True):
    """The body of POST /v1/send."""

    to: str | list[str]
    template: str | None = None
    data: dict[str, Any] = {}
    sender: str | None = None
    cc: str | list[str] = []
    bcc: str | list[str] = []
    reply_to: str | list[str] = []
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    headers: dict[str, str] = {}
    locale: str | None = None
    lane: Literal["high", "normal", "bulk"] | None = None
    send_at: datetime | None = None
    tags: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    attachments: list[AttachmentRequest] = []
    unsubscribe: bool = False


class BatchItem(SendRequest, forbid_unknown_fields=True, rename={"sender": "from"}, omit_defaults=True):
    """One message of a batch: a request with a key of its own."""

    idempotency_key: str | None = None


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /v1/batch. `mode`: `all` stores every message or none, `each` those that are valid."""

    messages: Annotated[list[BatchItem], msgspec.Meta(min_length=1, max_length=MOST_IN_BATCH)]
    mode: Literal["all", "each"] = "all"


Request = TypeVar("Request")
_batch_decoder = msgspec.json.Decoder(BatchRequest)
_decoder = msgspec.json.Decoder(SendRequest)


def decode(body: bytes) -> SendRequest:
    """The request in a body. Raises Problem 400 for what is not JSON, 422 for what is not a request."""
    request = decoded(_decoder, body)
    # Shallow bodies are the rule; only those with many brackets are worth a walk.
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        check_depth(request)
    return request


def decode_batch(body: bytes) -> BatchRequest:
    """The batch in a body. Raises Problem as `decode` does."""
    return decoded(_batch_decoder, body)


def decoded(decoder: msgspec.json.Decoder[Request], body: bytes) -> Request:
    """What a decoder makes of a body. Raises Problem 400 for what is not JSON, 422 for what has another shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _shape_problem(str(error), body) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "malformed_json", f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise Problem(400, "too_deep", f"The body is nested more than {DEEPEST} levels deep.") from None


def check_depth(request: SendRequest) -> None:
    """Raises Problem 400 when data or metadata are nested too deep to be passed on safely."""
    for field in ("data", "metadata"):
        if schemas.deeper_than(getattr(request, field), DEEPEST):
            raise Problem(400, "too_deep", f"{field} is nested more than {DEEPEST} levels deep.", field=field)


def idempotency_key(value: str | None) -> str | None:
    """The key as it is kept. Raises Problem."""
    if value is None:
        return None
    if not value or len(value) > LONGEST_KEY or not value.isascii() or not value.isprintable():
        raise Problem(
            400,
            "invalid_idempotency_key",
            f"Idempotency-Key has to be 1 to {LONGEST_KEY} printable ASCII characters.",
            field="Idempotency-Key",
        )
    return value


def check_template(client: Client, request: SendRequest) -> str | None:
    """The name of the template asked for, or None for raw content. Raises Problem."""
    raw = [f for f in ("subject", "html", "text") if getattr(request, f) is not None]
    if request.template is not None:
        if made := [field for field in raw if field != "subject"]:
            raise _invalid(made[0], f"{made[0]} cannot stand beside template; the template makes it.")
        if not may_use(client, request.template):
            raise _invalid(
                "template", f"This client may not use the template {request.template!r}.", "template_not_allowed"
            )
        return request.template
    if request.subject is None or (request.html is None and request.text is None):
        missing = "subject" if raw and request.subject is None else "html" if raw else "template"
        raise _invalid(missing, "Name a template, or give subject and html or text.", "missing_field")
    return None


def may_use(client: Client, template: str) -> bool:
    """Whether the client's patterns cover this template; without patterns it may use all."""
    return not client.templates or _matches(client.templates, template)


def draft(
    client: Client,
    request: SendRequest,
    revision: Revision | None,
    files: Sequence[Decoded] = (),
    *,
    key: str | None,
    traceparent: str,
    max_recipients: int,
    unsubscribable: bool = False,
    now: datetime | None = None,
) -> Draft:
    """Everything checked and encoded; `unsubscribable`: whether there are links to offer. Raises Problem 422 naming the
    field."""
    envelope = _envelope(client, request, max_recipients)
    if request.unsubscribe:
        _check_unsubscribe(envelope, request.headers, unsubscribable)
    _check_headers(request.headers)
    _check_tags(request.tags)
    if request.locale is not None and not _LOCALE.fullmatch(request.locale):
        raise _invalid("locale", "locale has to look like 'de' or 'pt-BR'.")
    if revision is not None and revision.sources.schema is not None:
        check_data(revision, request.data)
    return Draft(
        id=identifier.new(),
        client_id=client.id,
        key=key,
        digest=_digest(request) if key else None,
        lane=client.lane if request.lane is None else Lane[request.lane.upper()],
        run_at=_run_at(request.send_at, now or datetime.now(UTC)),
        template=request.template,
        revision=revision.digest if revision else None,
        locale=request.locale,
        envelope=_json(envelope),
        data=_json(request.data),
        content=_json(_content(request)) if revision is None or request.subject is not None else None,
        headers=_json(request.headers) if request.headers else None,
        tags=_json(request.tags) if request.tags else None,
        metadata=_json(request.metadata) if request.metadata else None,
        attachments=_json([file.about for file in files]) if files else None,
        traceparent=traceparent,
    )


def check_data(revision: Revision, data: dict[str, Any]) -> None:
    """Raises Problem 422 that names the path at which the data do not fit the template's schema."""
    try:
        misfit = schemas.misfit(revision, data)
    except schemas.BrokenSchema as error:
        where = f"{error.misfit.field}: " if error.misfit.field else ""
        detail = f"The schema of template {revision.name!r} cannot be used: {where}{error}."
        raise _invalid("template", detail, "template_broken") from None
    if misfit:
        field = f"data.{misfit.field}" if misfit.field else "data"
        raise _invalid(field, f"{field}: {misfit.reason}.", "invalid_data")


def _digest(request: SendRequest) -> bytes:
    """What two requests share that ask for the same, alone or in a batch, in whatever order."""
    if isinstance(request, BatchItem):
        request = msgspec.structs.replace(request, idempotency_key=None)
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).digest()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _invalid(field: str, detail: str, code: str = "invalid_field") -> Problem:
    return Problem(422, code, detail, field=field)


def _shape_problem(text: str, body: bytes) -> Problem:
    reason, _, place = text.partition(" - at `")
    field = _named(place.rstrip("`").removeprefix("$").removeprefix("."), body)
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", reason, re.DOTALL):
        field = f"{field}.{unknown[1]}" if field else unknown[1]
        return _invalid(field, f"{field} is not a known field.", "unknown_field")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        return _invalid(missing[1], f"{missing[1]} is required.", "missing_field")
    return _invalid(field, f"{field or 'The body'}: {reason[:1].lower()}{reason[1:]}.")


def _named(place: str, body: bytes) -> str:
    """The place of a fault. msgspec leaves keys out; of headers and tags it is the first whose value is no text."""
    if not (found := re.fullmatch(r"(?:messages\[(\d+)\]\.)?(headers|tags)\[\.\.\.\]", place)):
        return place.replace("[...]", "[]")
    place = place.removesuffix("[...]")
    try:
        given = msgspec.json.decode(body)
        given = given["messages"][int(found[1])] if found[1] else given
        return f"{place}.{next(key for key, value in given[found[2]].items() if not isinstance(value, str))[:80]}"
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, StopIteration):
        return place  # the body is broken further on, or has a name twice, of which the other was read here


@lru_cache(4096)
def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _envelope(client: Client, request: SendRequest, most: int) -> Envelope:
    to, cc, bcc = (_addresses(field, getattr(request, field)) for field in ("to", "cc", "bcc"))
    if not to:
        raise _invalid("to", "to needs at least one address.", "missing_field")
    if len(to) + len(cc) + len(bcc) > most:
        raise _invalid(
            "to", f"A message may have {most} recipients at most, to, cc and bcc together.", "too_many_recipients"
        )
    reply_to = _addresses("reply_to", request.reply_to)
    if len(reply_to) > most:
        raise _invalid("reply_to", f"reply_to may have {most} addresses at most.")
    return Envelope(_sender(client, request.sender), to, cc, bcc, reply_to, request.unsubscribe)


def _check_unsubscribe(envelope: Envelope, headers: dict[str, str], unsubscribable: bool) -> None:
    """A link is for one person: whoever else gets it could take them off."""
    if not unsubscribable:
        raise _invalid(
            "unsubscribe", "There are no unsubscribe links here: the server has no MAILBOAT_UNSUBSCRIBE_KEY."
        )
    if len(envelope.recipients) != 1:
        raise _invalid("unsubscribe", "A message with unsubscribe has one recipient: send one to each.")
    for name in headers:
        if name.lower() in ("list-unsubscribe", "list-unsubscribe-post"):
            raise _invalid(
                f"headers.{name}", f"{name} cannot stand beside unsubscribe, which writes it.", "invalid_header"
            )


def _addresses(field: str, given: str | list[str]) -> tuple[Address, ...]:
    if isinstance(given, str):
        return (_address(field, given),)
    return tuple(_address(f"{field}[{n}]", text) for n, text in enumerate(given))


def _address(field: str, text: str) -> Address:
    try:
        return address.parse(text)
    except InvalidAddress as error:
        raise _invalid(field, f"{field} is not a mail address: {error}.", "invalid_address") from None


def _sender(client: Client, given: str | None) -> Address:
    if given is None:
        sender = senders.default(client.senders)
        if sender is None:
            raise _invalid("from", "from is required: this client has no default sender.", "missing_field")
        return sender
    sender = _address("from", given)
    if not senders.allowed(client.senders, sender):
        raise _invalid(
            "from",
            f"This client may not send as {sender.email}; its senders are {', '.join(client.senders) or 'none'}.",
            "sender_not_allowed",
        )
    return sender


def _check_headers(headers: dict[str, str]) -> None:
    if len(headers) > MOST_HEADERS:
        raise _invalid("headers", f"A message may have {MOST_HEADERS} headers of its own at most.")
    seen: set[str] = set()
    for name, value in headers.items():
        fault = header_fault(name, value)
        if fault is None and name.lower() in seen:
            fault = f"The header {name} is given twice, in different spelling."
        if fault:
            raise _invalid(f"headers.{name[:80]}", f"headers: {fault}", "invalid_header")
        seen.add(name.lower())


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > MOST_TAGS:
        raise _invalid("tags", f"A message may have {MOST_TAGS} tags at most.")
    for name, value in tags.items():
        if not _TAG.fullmatch(name):
            raise _invalid(f"tags.{name[:80]}", "A tag's name has 1 to 64 letters, digits or any of _ . : -")
        if len(value) > 256 or _CONTROL.search(value):
            raise _invalid(f"tags.{name}", "A tag's value has at most 256 characters and no control characters.")


def _run_at(send_at: datetime | None, now: datetime, field: str = "send_at") -> datetime | None:
    if send_at is None:
        return None
    if send_at.tzinfo is None:
        raise _invalid(field, f"{field} needs a time zone, for example 2026-12-01T09:00:00Z.")
    if send_at > now + FURTHEST:
        raise _invalid(field, f"{field} may lie at most {FURTHEST.days} days ahead.")
    return send_at if send_at > now else None


def later(send_at: datetime, field: str) -> datetime:
    """A time that is still to come. Raises Problem 422."""
    if (found := _run_at(send_at, datetime.now(UTC), field)) is None:
        raise _invalid(field, f"{field} has to lie ahead.")
    return found


def _content(request: SendRequest) -> Content:
    subject = request.subject or ""
    if len(subject) > LONGEST_SUBJECT or _CONTROL.search(subject):
        raise _invalid(
            "subject",
            f"subject has at most {LONGEST_SUBJECT} characters and no line breaks or controls.",
            "invalid_header",
        )
    return Content(subject, request.html, request.text)
