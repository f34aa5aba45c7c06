"""What every page works with, and what they all do with a request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard import pages as looks
from mailboat.dashboard.pages import Pages
from mailboat.delivery.ring import Doorbell
from mailboat.registry.catalog import Catalog
from mailboat.render.base import Renderer
from mailboat.settings import Settings

_AUDIT = "insert into audit (actor, action, subject, detail) values ($1, $2, $3, $4::jsonb)"
LARGEST_FORM = 2_097_152  # octets

Route = tuple[str, str, Callable[..., Awaitable[Response]]]


class View(Protocol):
    """A page, or several that belong together."""

    def routes(self) -> list[Route]:
        """Method, path and handler of each of its answers."""


class Unknown(Exception):
    """There is no such thing as the address names."""


class Refused(Exception):
    """What was asked for cannot be done; the text is for a person."""


@dataclass(frozen=True)
class Desk:
    """`renderer` and `orm` are made when they are asked for first."""

    pool: asyncpg.Pool
    settings: Settings
    pages: Pages
    catalog: Catalog
    renderer: Callable[[], Renderer]
    doorbell: Doorbell
    orm: Callable[[], AsyncEngine]

    @property
    def actor(self) -> str:
        """Who acts, for the audit: the dashboard, and the name that an OIDC provider gave."""
        name = looks.SESSION.get().name
        return f"dashboard, {name}" if name else "dashboard"

    async def note(self, action: str, subject: str, detail: dict[str, Any]) -> None:
        """Leave an audit row."""
        await self.pool.execute(_AUDIT, self.actor, action, subject, json.dumps(detail))


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; of a repeated one, the last. Raises Refused for one that is too large."""
    return dict(await fields(request))


async def fields(request: Request) -> list[tuple[str, str]]:
    """The fields of a form as they come, without NUL, which Postgres keeps nowhere. Raises Refused as `form` does."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise Refused(f"That is more than {LARGEST_FORM // 1_048_576} MiB.")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return [(name, value.replace("\0", "")) for name, value in pairs]


def identifier(text: str) -> UUID:
    """Raises Unknown for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise Unknown from None


def is_htmx(request: Request) -> bool:
    return "hx-request" in request.headers
