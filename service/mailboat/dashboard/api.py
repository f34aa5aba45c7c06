"""The inbox for programs: `/admin/inbox`, mounted behind the admin token by the caller."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from mailboat.dashboard import inbox, mime
from mailboat.dashboard.inbox import Cursor, Kept, Row
from mailboat.errors import Problem


class Rfc822(Response):
    media_type = "message/rfc822"


class InboxItem(BaseModel):
    """One mail in the list. `to` are the recipients of the envelope, those in bcc too."""

    id: UUID
    sender: str = Field(serialization_alias="from")
    to: list[str]
    subject: str
    received_at: datetime


class Inbox(BaseModel):
    """A page of the list. Pass `next` as `before` to get the page after it; null: there is none."""

    items: list[InboxItem]
    next: str | None


class InboxMail(InboxItem):
    """One mail, decoded. `html` or `text` is null where it has none; a repeated header is joined by commas."""

    html: str | None
    text: str | None
    headers: dict[str, str]


class Deleted(BaseModel):
    deleted: int


def api_router(*, pool: asyncpg.Pool) -> APIRouter:
    """List, read and delete the mail that the provider `inbox` kept. Asks nobody who they are. Raises Problem."""
    routes = APIRouter(prefix="/admin/inbox", tags=["inbox"])

    @routes.get("", summary="List kept mail, newest first")
    async def index(q: str = "", before: str = "") -> Inbox:
        found = await inbox.page(pool, query=q, before=_cursor(before), head=0)
        following = str(found.rows[-1].cursor) if found.more else None
        return Inbox(items=[InboxItem(**_item(row)) for row in found.rows], next=following)

    @routes.delete("", summary="Delete all kept mail")
    async def clear() -> Deleted:
        return Deleted(deleted=await inbox.clear(pool))

    @routes.get("/{message_id}", summary="Read one mail, decoded")
    async def read(message_id: UUID) -> InboxMail:
        kept = await _kept(pool, message_id)
        opened = mime.opened(kept.raw)
        return InboxMail(**_item(kept.row), html=opened.html, text=opened.text, headers=opened.named)

    @routes.get("/{message_id}/raw", summary="The RFC 5322 bytes of one mail", response_class=Rfc822)
    async def raw(message_id: UUID) -> Rfc822:
        return Rfc822((await _kept(pool, message_id)).raw)

    @routes.delete("/{message_id}", summary="Delete one mail", status_code=204)
    async def delete(message_id: UUID) -> None:
        if not await inbox.delete(pool, message_id):
            raise _unknown(message_id)

    return routes


def _item(row: Row) -> dict[str, Any]:
    return {
        "id": row.message_id,
        "sender": row.sender,
        "to": list(row.recipients),
        "subject": row.subject,
        "received_at": row.received_at,
    }


async def _kept(pool: asyncpg.Pool, message_id: UUID) -> Kept:
    kept = await inbox.get(pool, message_id)
    if kept is None:
        raise _unknown(message_id)
    return kept


def _cursor(text: str) -> Cursor | None:
    try:
        return Cursor.parse(text) if text else None
    except ValueError as error:
        raise Problem(400, "invalid_cursor", f"{error}.", field="before") from None


def _unknown(message_id: UUID) -> Problem:
    return Problem(404, "not_found", f"The inbox has no mail {message_id}; it may have been deleted.")
