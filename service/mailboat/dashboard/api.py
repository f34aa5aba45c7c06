"""The inbox for programs: `/admin/inbox`, mounted behind the admin token by the caller."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from starlette.responses import Response

from mailboat.dashboard import inbox, mime
from mailboat.dashboard.inbox import Cursor, Kept, Row
from mailboat.errors import Problem


def api_router(*, pool: asyncpg.Pool) -> APIRouter:
    """List, read and delete the mail that the provider `inbox` kept. Asks nobody who they are."""
    routes = APIRouter(prefix="/admin/inbox", tags=["inbox"])

    @routes.get("", summary="List kept mail, newest first")
    async def index(q: str = "", before: str = "") -> dict[str, Any]:
        found = await inbox.page(pool, query=q, before=_cursor(before), head=0)
        shown = found[: inbox.PAGE]
        following = str(shown[-1].cursor) if len(found) > len(shown) else None
        return {"items": [_item(row) for row in shown], "next": following}

    @routes.delete("", summary="Delete all kept mail")
    async def clear() -> dict[str, int]:
        return {"deleted": await inbox.clear(pool)}

    @routes.get("/{message_id}", summary="Read one mail, decoded")
    async def read(message_id: UUID) -> dict[str, Any]:
        return _detail(await _kept(pool, message_id))

    @routes.get("/{message_id}/raw", summary="The RFC 5322 bytes of one mail", response_class=Response)
    async def raw(message_id: UUID) -> Response:
        return Response((await _kept(pool, message_id)).raw, media_type="message/rfc822")

    @routes.delete("/{message_id}", summary="Delete one mail", status_code=204)
    async def delete(message_id: UUID) -> None:
        if not await inbox.delete(pool, message_id):
            raise _unknown(message_id)

    return routes


def _item(row: Row) -> dict[str, Any]:
    return {
        "id": row.message_id,
        "from": row.sender,
        "to": row.recipients,
        "subject": row.subject,
        "received_at": row.received_at,
    }


def _detail(kept: Kept) -> dict[str, Any]:
    opened = mime.opened(kept.raw)
    item = _item(kept.row)
    return {
        **item,
        "subject": opened.header("Subject") or kept.row.subject,
        "html": opened.html,
        "text": opened.text,
        "headers": opened.named,
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
        raise Problem(422, "invalid_cursor", f"{error}.", field="before") from None


def _unknown(message_id: UUID) -> Problem:
    return Problem(404, "not_found", f"The inbox has no mail {message_id}; it may have been deleted.")
