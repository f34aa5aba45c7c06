"""/livez and /readyz as OpenAPI shows them; the front answers them, before anything here is loaded."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from mailboat.api.app_state import context_of

router = APIRouter(tags=["probes"], default_response_class=PlainTextResponse)
OK = "ok\n"


@router.get("/livez")
async def livez() -> str:
    """The process answers."""
    return OK


@router.get("/readyz")
async def readyz(request: Request) -> str:
    """The process can work: PostgreSQL answers and is migrated, and nobody has told it to stop."""
    await context_of(request).check()
    return OK
