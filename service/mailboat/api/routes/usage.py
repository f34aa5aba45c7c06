"""/v1/usage: what a client has used of this month's quota."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from mailboat.api.app_state import authenticated, context_of
from mailboat.delivery import query
from mailboat.delivery.clients import Client

router = APIRouter(prefix="/v1/usage", tags=["usage"])


class RateLimit(BaseModel):
    """The client's bucket: it holds `burst` messages and fills by `per_minute`."""

    per_minute: int
    burst: int


class Usage(BaseModel):
    """This month's messages (UTC). Without a quota, `quota` and `remaining` are null."""

    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    accepted: int
    quota: int | None
    remaining: int | None
    resets_at: datetime
    rate_limit: RateLimit


@router.get("", response_model=Usage)
async def get_usage(request: Request, caller: Annotated[Client, Depends(authenticated)]) -> Any:
    """What has been accepted this month, what is left, and the rate limit."""
    used = await query.usage(context_of(request).pool, caller.id)
    return used | {"rate_limit": {"per_minute": caller.rate_per_minute, "burst": caller.rate_burst}}
