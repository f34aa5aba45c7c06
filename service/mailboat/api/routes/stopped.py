"""/admin/dead-letters and /admin/held: look, replay, decide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import administrator, context_of
from mailboat.api.context import Context
from mailboat.api.moments import Moment
from mailboat.api.routes.messages import MessageDetail
from mailboat.dashboard import inbox, mime
from mailboat.dashboard.api import Rfc822
from mailboat.db.states import State
from mailboat.delivery import query, remake, stopped
from mailboat.domain.message import Rendered
from mailboat.errors import Problem, Rejected

router = APIRouter(prefix="/admin", tags=["stopped mail"], dependencies=[Depends(administrator)])


LARGEST_SOURCE = 1_048_576  # octets of a mail that is shown inside JSON


class Narrowed(BaseModel):
    """Which messages, of those that stopped in one way."""

    model_config = ConfigDict(extra="forbid")

    client: str | None = Field(None, max_length=127, description="name, or namespace/name")
    template: str | None = Field(None, max_length=128)
    provider: str | None = Field(None, max_length=63)
    error: str | None = Field(None, max_length=200, description="a part of the last error")
    since: Moment | None = Field(None, description="stopped at or after")
    until: Moment | None = Field(None, description="stopped before")

    def filter(self) -> stopped.Filter:
        """The same for the queue."""
        return stopped.Filter(states=(State.HELD,), **self.model_dump(include=set(Narrowed.model_fields)))


class Wanted(Narrowed):
    """Which dead letters: those that ran out of attempts, or were refused for good."""

    status: Literal["dead", "failed"] = "dead"

    def filter(self) -> stopped.Filter:
        """The same for the queue."""
        values = self.model_dump(include=set(Narrowed.model_fields))
        return stopped.Filter(states=(State[self.status.upper()],), **values)


class _Paged(BaseModel):
    """Which page of them."""

    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=64)


class PageOfHeld(_Paged, Narrowed):
    """Which held messages."""


class PageOfWanted(_Paged, Wanted):
    """Which dead letters."""


class StoppedMessage(BaseModel):
    """A message that stopped, with its last error."""

    id: UUID
    status: Literal["dead", "failed", "held"]
    client: str
    template: str | None
    to: list[str]
    lane: str
    attempt_count: int
    provider: str | None
    error: str | None
    created_at: datetime
    stopped_at: datetime


class StoppedPage(BaseModel):
    """The newest first; `next` is the cursor of the following page, `total` counts all of them."""

    items: list[StoppedMessage]
    next: str | None
    total: int


class Reason(BaseModel):
    """A last error and how many messages stopped with it."""

    error: str
    messages: int
    latest: datetime


class Progress(BaseModel):
    """Ask again while some remain, with this `until`: what stops again meanwhile is left alone."""

    remaining: int
    until: datetime


class Replayed(Progress):
    """What one request replayed."""

    replayed: int


class Released(Progress):
    """What one request released."""

    released: int


class GivenUp(Progress):
    """What one request failed."""

    failed: int


class StoppedMail(BaseModel):
    """The mail of a message, as its next attempt would send it; null where it cannot be made, and `fault` says why.

    `source` is RFC 5322, and null too where it has more than a megabyte: `…/raw` has it all. A header that occurs
    more than once is joined with commas.
    """

    subject: str | None = None
    html: str | None = None
    text: str | None = None
    headers: dict[str, str] = {}
    source: str | None = None
    size: int | None = None
    fault: str | None = None


class StoppedDetail(MessageDetail):
    """A message with every attempt and what the provider said to it, and its mail."""

    mail: StoppedMail


@router.get("/dead-letters", response_model=StoppedPage)
async def list_dead_letters(request: Request, wanted: Annotated[PageOfWanted, Query()]) -> Any:
    """Messages that ran out of attempts, or were refused for good (`status=failed`)."""
    return await stopped.page(context_of(request).pool, wanted.filter(), limit=wanted.limit, cursor=wanted.cursor)


@router.get("/dead-letters/reasons", response_model=list[Reason])
async def list_reasons(request: Request, wanted: Annotated[Wanted, Query()]) -> Any:
    """Why they stopped, the commonest reason first."""
    return await stopped.reasons(context_of(request).pool, wanted.filter())


@router.post("/dead-letters/replay", response_model=Replayed)
async def replay_dead_letters(request: Request, wanted: Wanted) -> Any:
    """Queue up to 1,000 of them again, the oldest first. Attempts begin anew."""
    context = context_of(request)
    found = await stopped.replay(context.pool, context.doorbell, wanted.filter())
    return found | {"replayed": found["done"]}


@router.get("/dead-letters/{message_id}", response_model=StoppedDetail)
async def get_dead_letter(request: Request, message_id: UUID) -> Any:
    """One message with every attempt and what the provider said, and its mail."""
    return await _detail(request, message_id) | {"mail": await _mail(context_of(request), message_id)}


@router.get("/dead-letters/{message_id}/raw", response_class=Rfc822)
async def get_source_of_dead_letter(request: Request, message_id: UUID) -> Rfc822:
    """The RFC 5322 octets of its mail."""
    return await _source(request, message_id)


@router.post("/dead-letters/{message_id}/replay", response_model=MessageDetail)
async def replay_dead_letter(request: Request, message_id: UUID) -> Any:
    """Queue one dead or failed message again."""
    context = context_of(request)
    if not await stopped.replay_one(context.pool, context.doorbell, message_id):
        raise _not_stopped(await _detail(request, message_id), "dead or failed")
    return await _detail(request, message_id)


@router.get("/held", response_model=StoppedPage)
async def list_held(request: Request, wanted: Annotated[PageOfHeld, Query()]) -> Any:
    """Mail that may have been sent: its client wants a person to decide."""
    return await stopped.page(context_of(request).pool, wanted.filter(), limit=wanted.limit, cursor=wanted.cursor)


@router.post("/held/release", response_model=Released)
async def release_all_held(request: Request, wanted: Narrowed) -> Any:
    """Send up to 1,000 of them again, the oldest first, though they may have arrived."""
    context = context_of(request)
    found = await stopped.replay(context.pool, context.doorbell, wanted.filter())
    return found | {"released": found["done"]}


@router.post("/held/fail", response_model=GivenUp)
async def fail_all_held(request: Request, wanted: Narrowed) -> Any:
    """Do not send up to 1,000 of them again, the oldest first."""
    found = await stopped.give_up_all(context_of(request).pool, wanted.filter())
    return found | {"failed": found["done"]}


@router.get("/held/{message_id}", response_model=StoppedDetail)
async def get_held(request: Request, message_id: UUID) -> Any:
    """One message with every attempt and what the provider said, and its mail."""
    return await _detail(request, message_id) | {"mail": await _mail(context_of(request), message_id)}


@router.get("/held/{message_id}/raw", response_class=Rfc822)
async def get_source_of_held(request: Request, message_id: UUID) -> Rfc822:
    """The RFC 5322 octets of its mail."""
    return await _source(request, message_id)


@router.post("/held/{message_id}/release", response_model=MessageDetail)
async def release_held(request: Request, message_id: UUID) -> Any:
    """Send it again, though it may have arrived."""
    context = context_of(request)
    if not await stopped.release(context.pool, context.doorbell, message_id):
        raise _not_stopped(await _detail(request, message_id), "held")
    return await _detail(request, message_id)


@router.post("/held/{message_id}/fail", response_model=MessageDetail)
async def fail_held(request: Request, message_id: UUID) -> Any:
    """Do not send it again."""
    if not await stopped.give_up(context_of(request).pool, message_id):
        raise _not_stopped(await _detail(request, message_id), "held")
    return await _detail(request, message_id)


async def _detail(request: Request, message_id: UUID) -> dict[str, Any]:
    found = await query.message(context_of(request).pool, None, message_id)
    if found is None:
        raise _missing(message_id)
    return found


async def _mail(context: Context, message_id: UUID) -> StoppedMail:
    content, raw, fault = await _made(context, message_id)
    shown = StoppedMail(fault=fault or None)
    if isinstance(content, Rendered):
        shown.subject, shown.html, shown.text = content.subject, content.html, content.text
    if raw is not None:
        shown.headers, shown.size = mime.opened(raw).named, len(raw)
        shown.source = raw.decode("utf-8", "replace") if len(raw) <= LARGEST_SOURCE else None
    return shown


async def _source(request: Request, message_id: UUID) -> Rfc822:
    _, raw, fault = await _made(context_of(request), message_id)
    if raw is None:
        raise Problem(409, "wrong_state", f"This mail cannot be made: {fault}")
    return Rfc822(raw)


async def _made(context: Context, message_id: UUID) -> tuple[Rendered | None, bytes | None, str]:
    """Its content and octets, or why they are not there. Raises Problem 404."""
    found = await remake.find(context.pool, message_id)
    if found is None:
        raise _missing(message_id)
    message, client = found
    content = await remake.rendered(context.catalog, context.renderer, message)
    if not isinstance(content, Rendered):
        return None, None, content
    if (kept := await inbox.get(context.pool, message_id)) is not None:
        return content, kept.raw, ""
    try:
        return content, await remake.source(context.attachments, context.links, message, client, content), ""
    except Rejected as error:
        return content, None, str(error)


def _missing(message_id: UUID) -> Problem:
    return Problem(404, "not_found", f"There is no message {message_id}.")


def _not_stopped(found: dict[str, Any], wanted: str) -> Problem:
    return Problem(409, "wrong_state", f"The message is {found['status']}, not {wanted}.")
