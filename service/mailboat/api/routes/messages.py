"""/v1/messages: what became of a client's mail; and POST /v1/send as OpenAPI shows it."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from mailboat.api import batch, send
from mailboat.api.app_state import authenticated, context_of
from mailboat.api.moments import Moment
from mailboat.delivery import query
from mailboat.delivery.clients import Client
from mailboat.domain.events import Bounce, Word
from mailboat.domain.status import Status
from mailboat.errors import Problem

router = APIRouter(prefix="/v1", tags=["messages"])

Caller = Annotated[Client, Depends(authenticated)]


class Recipient(BaseModel):
    """One recipient and what became of the mail to it; `diagnosis` says what went wrong and what to do."""

    address: str
    kind: Literal["to", "cc", "bcc"]
    status: Status
    detail: str
    diagnosis: str | None


class Event(BaseModel):
    """One fact that a provider reported: its word, ours, and its reason."""

    event: Word
    recipient: str
    at: datetime
    provider: str
    bounce: Bounce | None
    reason: str
    word: str


class Attempt(BaseModel):
    """One try to hand the message to one provider."""

    number: int
    provider: str | None
    outcome: str
    detail: str
    started_at: datetime
    seconds: float


class MessageSummary(BaseModel):
    """A message and where it is."""

    id: UUID
    status: Status
    template: str | None
    revision: str | None
    lane: Literal["high", "normal", "bulk"]
    sender: str = Field(alias="from")
    created_at: datetime
    send_at: datetime | None
    attempt_count: int
    provider: str | None
    provider_message_id: str | None
    error: str | None
    tags: dict[str, str]
    metadata: dict[str, Any]


class ListedMessage(MessageSummary):
    """A message in a list."""

    to: list[str]


class MessageDetail(MessageSummary):
    """A message with its timeline."""

    recipients: list[Recipient]
    attempts: list[Attempt]
    events: list[Event]
    diagnosis: str | None
    trace_id: str


class MessagePage(BaseModel):
    """A page of messages, the newest first; `next` is the cursor of the following page."""

    items: list[ListedMessage]
    next: str | None


class Accepted(BaseModel):
    """The message is stored and will be sent."""

    id: UUID
    status: Literal["queued", "scheduled"]


@router.post("/send", status_code=202, response_model=Accepted, openapi_extra={"x-served-by": "mailboat.api.send"})
async def send_message(request: Request, caller: Caller) -> Any:
    """Accept one message.

    `Idempotency-Key` makes a repeat safe: the same key with the same body gives the first answer again.
    """
    body = await request.body()
    key, parent = request.headers.get("idempotency-key"), request.headers.get("traceparent")
    context = context_of(request)
    with (
        contextlib.closing(context.bodies.hold()) as held,
        context.traces.span("POST /v1/send", parent, "server", client=caller.name) as traceparent,
    ):
        return await send.accept(context, caller, body, key, traceparent, held)


class BatchOutcome(BaseModel):
    """What became of one message of a batch: its id, or the problem that it has."""

    id: UUID | None = None
    status: Literal["queued", "scheduled"] | None = None
    problem: dict[str, Any] | None = None


class BatchAccepted(BaseModel):
    """A batch that was stored; `messages` are in the order of the request."""

    accepted: int
    refused: int
    messages: list[BatchOutcome]


@router.post(
    "/batch", status_code=202, response_model=BatchAccepted, openapi_extra={"x-served-by": "mailboat.api.batch"}
)
async def send_batch(request: Request, caller: Caller) -> Any:
    """Accept up to 1,000 messages: all of them or none (`mode` all), or those that are valid (`mode` each)."""
    context, parent = context_of(request), request.headers.get("traceparent")
    with contextlib.closing(context.bodies.hold()) as held:
        return (await batch.accept(context, caller, await request.body(), parent, held))[0]


@router.get("/messages", response_model=MessagePage)
async def list_messages(
    request: Request,
    caller: Caller,
    status: Status | None = None,
    template: Annotated[str | None, Query(max_length=128)] = None,
    recipient: Annotated[str | None, Query(max_length=254)] = None,
    lane: Literal["high", "normal", "bulk"] | None = None,
    tag: Annotated[list[str] | None, Query(description="name:value, may be repeated")] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=query.MOST)] = 20,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Any:
    """The client's messages, newest first, narrowed by any of the filters."""
    for field, text in [("template", template), ("recipient", recipient), *(("tag", text) for text in tag or [])]:
        if text and "\0" in text:
            raise Problem(422, "invalid_field", f"{field} has a NUL in it, which nothing is named by.", field=field)
    tags = dict(_pair(text) for text in tag or [])
    wanted = query.Filter(status, template, recipient, lane, tags, since, until)
    return await query.page(context_of(request).pool, caller.id, wanted, limit=limit, cursor=cursor)


@router.get("/messages/{message_id}", response_model=MessageDetail)
async def get_message(request: Request, caller: Caller, message_id: UUID) -> Any:
    """One message with its recipients and the timeline of its attempts."""
    found = await query.message(context_of(request).pool, caller.id, message_id)
    if found is None:
        raise Problem(404, "not_found", f"There is no message {message_id}.")
    return found


@router.post("/messages/{message_id}/cancel", response_model=MessageDetail)
async def cancel_message(request: Request, caller: Caller, message_id: UUID) -> Any:
    """Stop a message that waits for its `send_at`."""
    pool = context_of(request).pool
    stopped = await query.cancel(pool, caller.id, message_id)
    found = await query.message(pool, caller.id, message_id)
    if found is None:
        raise Problem(404, "not_found", f"There is no message {message_id}.")
    if not stopped and found["status"] != "cancelled":
        raise Problem(
            409, "not_cancellable", f"The message is {found['status']}; only scheduled messages can be cancelled."
        )
    return found


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise Problem(422, "invalid_field", "tag has to look like name:value.", field="tag")
    return name, value
