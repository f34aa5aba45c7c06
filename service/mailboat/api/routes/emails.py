"""/emails: a drop-in for Resend's SDKs. Their requests become ours (`api.resend`) and go the same road."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from mailboat.api import batch, resend, send
from mailboat.api.app_state import check_query, context_of
from mailboat.api.gate import check_json
from mailboat.delivery import query, validate
from mailboat.delivery.clients import Client
from mailboat.delivery.validate import BatchRequest
from mailboat.domain.message import Content, Envelope
from mailboat.errors import Problem
from mailboat.limits.bucket import Decision, Rate

router = APIRouter(prefix=resend.PATH, tags=["resend"])
_one = msgspec.json.Decoder(resend.ResendEmail)
_many = msgspec.json.Decoder(list[resend.ResendEmail])
_change = msgspec.json.Decoder(resend.ResendChange)


class Sent(BaseModel):
    """The message is stored and will be sent."""

    id: UUID


class Fault(BaseModel):
    """Which email of a batch was refused, and why."""

    index: int
    message: str


class SentBatch(BaseModel):
    """The ids in the order of the request; `errors` where `x-batch-validation` is permissive."""

    data: list[Sent]
    errors: list[Fault] | None = None


class Touched(BaseModel):
    """An email that was changed."""

    object: Literal["email"] = "email"
    id: UUID


class TagShown(BaseModel):
    """A word that was sent along."""

    name: str
    value: str


class EmailListed(BaseModel):
    """An email in a list. `subject` is null for what a template makes."""

    id: UUID
    message_id: str | None
    sender: str = Field(alias="from")
    to: list[str]
    cc: list[str]
    bcc: list[str]
    reply_to: list[str]
    subject: str | None
    created_at: str
    scheduled_at: str | None
    last_event: str


class EmailShown(EmailListed):
    """An email as Resend shows it. `html` and `text` are null for what a template makes."""

    object: Literal["email"] = "email"
    html: str | None
    text: str | None
    tags: list[TagShown]


class Emails(BaseModel):
    """Emails, newest first; `has_more`: that way there are others."""

    object: Literal["list"] = "list"
    has_more: bool
    data: list[EmailListed]


async def _caller(
    request: Request,
    authorization: Annotated[str | None, Header()] = None,
) -> Client:
    """The client of `Bearer KEY.SECRET`. Raises Problem."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(
            401,
            "missing_api_key",
            "Missing API key: send Authorization: Bearer KEY.SECRET, a client's key and its secret with a dot between.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    key, _, secret = re.sub("[.:]", "\n", token.strip(), count=1).partition("\n")
    client = await context_of(request).authenticator.client(key, secret)
    check_query(request)
    check_json(request.headers.get("content-type"))
    return client


Caller = Annotated[Client, Depends(_caller)]


@router.post("", response_model=Sent)
async def send_email(request: Request, response: Response, caller: Caller) -> Any:
    """Accept one email, as `POST /v1/send` does."""
    context = context_of(request)
    decision = await context.take(Rate(caller.id, caller.rate_per_minute, caller.rate_burst))
    if not decision.allowed:
        raise send.rate_limited(caller, decision)
    body = msgspec.json.encode(resend.request(validate.decoded(_one, await request.body())))
    parent, key = request.headers.get("traceparent"), request.headers.get("idempotency-key")
    with (
        contextlib.closing(context.bodies.hold()) as held,
        context.traces.span("POST /emails", parent, "server", client=caller.name) as traceparent,
    ):
        accepted = await send.accept(context, caller, body, key, traceparent, held)
    _say(response, caller, decision)
    return {"id": accepted.id}


@router.post("/batch", response_model=SentBatch, response_model_exclude_none=True)
async def send_emails(
    request: Request,
    response: Response,
    caller: Caller,
    x_batch_validation: Annotated[Literal["strict", "permissive"], Header()] = "strict",
) -> Any:
    """Accept up to 100 emails: all or none of them, or (`permissive`) those that are valid."""
    emails = validate.decoded(_many, await request.body())
    if not 1 <= len(emails) <= resend.MOST_IN_BATCH:
        raise Problem(
            422, "invalid_field", f"A batch has 1 to {resend.MOST_IN_BATCH} emails; this one has {len(emails)}."
        )
    key = validate.idempotency_key(request.headers.get("idempotency-key"))
    items = [resend.request(one, f"[{n}].", resend.key_in_batch(key, n)) for n, one in enumerate(emails)]
    mode: Literal["all", "each"] = "all" if x_batch_validation == "strict" else "each"
    parent = request.headers.get("traceparent")
    context, body = context_of(request), msgspec.json.encode(BatchRequest(items, mode))
    with contextlib.closing(context.bodies.hold()) as held:
        outcome, decision = await batch.accept(context, caller, body, parent, held)
    _say(response, caller, decision)
    data = [{"id": one["id"]} for one in outcome["messages"] if "id" in one]
    if mode == "all":
        return {"data": data}
    refused = ((n, one["problem"]) for n, one in enumerate(outcome["messages"]) if "problem" in one)
    return {"data": data, "errors": [{"index": n, "message": problem["detail"]} for n, problem in refused]}


@router.get("", response_model=Emails)
async def list_emails(
    request: Request,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: UUID | None = None,
    before: UUID | None = None,
) -> Any:
    """The newest emails, those after the one with this id (older), or before it (newer)."""
    if after and before:
        raise Problem(422, "invalid_field", "Give after or before, not both.", field="before")
    pool = context_of(request).pool
    found, more = await query.written_beside(pool, caller.id, limit, after=after, before=before)
    known = {one["id"]: one for one in await query.listed(pool, list(found))}
    data = [_listed(known[number], *written) for number, written in found.items() if number in known]
    return {"has_more": more, "data": data}


@router.get("/{email_id}", response_model=EmailShown)
async def get_email(request: Request, caller: Caller, email_id: UUID) -> Any:
    """One email and the last that is known of it."""
    pool = context_of(request).pool
    found = await query.message(pool, caller.id, email_id)
    written = await query.written(pool, caller.id, email_id)
    if found is None or written is None:
        raise _unknown(email_id)
    envelope, content = written
    return _listed(found, envelope, content) | {
        "html": content.html if content else None,
        "text": content.text if content else None,
        "tags": [{"name": name, "value": value} for name, value in found["tags"].items()],
    }


def _listed(found: dict[str, Any], envelope: Envelope, content: Content | None) -> dict[str, Any]:
    return {
        "id": found["id"],
        "message_id": found["provider_message_id"],
        "from": resend.written(envelope.sender),
        "to": [resend.written(one) for one in envelope.to],
        "cc": [resend.written(one) for one in envelope.cc],
        "bcc": [resend.written(one) for one in envelope.bcc],
        "reply_to": [resend.written(one) for one in envelope.reply_to],
        "subject": content.subject if content else None,
        "created_at": found["created_at"].isoformat(),
        "scheduled_at": found["send_at"].isoformat() if found["send_at"] else None,
        "last_event": resend.LAST_EVENT[found["status"]],
    }


@router.patch("/{email_id}", response_model=Touched)
async def update_email(request: Request, caller: Caller, email_id: UUID) -> Any:
    """Send a scheduled email at another time."""
    change = validate.decoded(_change, await request.body())
    run_at = validate.later(resend.moment(change.scheduled_at), "scheduled_at")
    if not await query.reschedule(context_of(request).pool, caller.id, email_id, run_at):
        raise await _unchanged(request, caller, email_id, "rescheduled")
    return {"id": email_id}


@router.post("/{email_id}/cancel", response_model=Touched)
async def cancel_email(request: Request, caller: Caller, email_id: UUID) -> Any:
    """Stop a scheduled email."""
    if not await query.cancel(context_of(request).pool, caller.id, email_id):
        raise await _unchanged(request, caller, email_id, "cancelled")
    return {"id": email_id}


async def _unchanged(request: Request, caller: Client, email_id: UUID, done: str) -> Problem:
    found = await query.message(context_of(request).pool, caller.id, email_id)
    if found is None:
        return _unknown(email_id)
    return Problem(409, "not_cancellable", f"The email is {found['status']}; only scheduled emails can be {done}.")


def _unknown(email_id: UUID) -> Problem:
    return Problem(404, "not_found", f"There is no email {email_id}.")


def _say(response: Response, caller: Client, decision: Decision) -> None:
    for name, value in send.rate_headers(caller, decision):
        response.headers[name.decode()] = value.decode()
