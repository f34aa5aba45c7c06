"""/admin/dead-letters and /admin/held: look, replay, decide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import administrator, context_of
from mailboat.api.routes.messages import MessageDetail
from mailboat.db.states import State
from mailboat.delivery import query, stopped
from mailboat.errors import Problem

router = APIRouter(prefix="/admin", tags=["stopped mail"], dependencies=[Depends(administrator)])

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]


class Wanted(BaseModel):
    """Which stopped messages."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["dead", "failed"] = "dead"
    client: str | None = Field(None, max_length=127, description="name, or namespace/name")
    template: str | None = Field(None, max_length=128)
    provider: str | None = Field(None, max_length=63)
    error: str | None = Field(None, max_length=200, description="a part of the last error")
    since: datetime | None = Field(None, description="stopped at or after")
    until: datetime | None = Field(None, description="stopped before")

    def filter(self) -> stopped.Filter:
        """The same for the queue."""
        values = self.model_dump(exclude={"status"})
        return stopped.Filter(states=(State[self.status.upper()],), **values)


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


class Replayed(BaseModel):
    """What one request replayed; ask again while some remain."""

    replayed: int
    remaining: int


@router.get("/dead-letters", response_model=StoppedPage)
async def list_dead_letters(
    request: Request, wanted: Annotated[Wanted, Query()], limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """Messages that ran out of attempts, or were refused for good (`status=failed`)."""
    return await stopped.page(context_of(request).pool, wanted.filter(), limit=limit, cursor=cursor)


@router.get("/dead-letters/reasons", response_model=list[Reason])
async def list_reasons(request: Request, wanted: Annotated[Wanted, Query()]) -> Any:
    """Why they stopped, the commonest reason first."""
    return await stopped.reasons(context_of(request).pool, wanted.filter())


@router.post("/dead-letters/replay", response_model=Replayed)
async def replay_dead_letters(request: Request, wanted: Wanted) -> Any:
    """Queue up to 1,000 of them again, the oldest first. Attempts begin anew."""
    context = context_of(request)
    return await stopped.replay(context.pool, context.doorbell, wanted.filter())


@router.get("/dead-letters/{message_id}", response_model=MessageDetail)
async def get_dead_letter(request: Request, message_id: UUID) -> Any:
    """One message with every attempt and what the provider said."""
    return await _detail(request, message_id)


@router.post("/dead-letters/{message_id}/replay", response_model=MessageDetail)
async def replay_dead_letter(request: Request, message_id: UUID) -> Any:
    """Queue one dead or failed message again."""
    context = context_of(request)
    if not await stopped.replay_one(context.pool, context.doorbell, message_id):
        raise _not_stopped(await _detail(request, message_id), "dead or failed")
    return await _detail(request, message_id)


@router.get("/held", response_model=StoppedPage)
async def list_held(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Any:
    """Mail that may have been sent: its client wants a person to decide."""
    wanted = stopped.Filter(states=(State.HELD,))
    return await stopped.page(context_of(request).pool, wanted, limit=limit, cursor=cursor)


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
        raise Problem(404, "not_found", f"There is no message {message_id}.")
    return found


def _not_stopped(found: dict[str, Any], wanted: str) -> Problem:
    return Problem(409, "wrong_state", f"The message is {found['status']}, not {wanted}.")
