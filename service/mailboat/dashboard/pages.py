"""What leaves the dashboard: templates, the headers around them, and how times and figures are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.responses import HTMLResponse, Response

import mailboat
from mailboat.dashboard.assets import Assets
from mailboat.dashboard.session import Session

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A mail may bring its own styles and pictures; it may not run, load, send or lead anywhere.
MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# States that are as they should be: an icon and a word, without the filled pill.
QUIET = frozenset({"scheduled", "queued", "sending", "sent", "delivered", "cancelled", "ok", "closed"})
ICONS = {"ok": "sent", "warn": "alert", "info": "info", "idle": "scheduled"}
CSRF: ContextVar[str] = ContextVar("csrf", default="")
"""The token that forms of this request's session carry."""
AT_THIS_MACHINE = Session("admin")
SESSION: ContextVar[Session] = ContextVar("session", default=AT_THIS_MACHINE)
"""Whose session this request's is. Where there is no login, whoever sits at this machine may do everything."""


class Pages:
    """Renders templates/ with autoescape; `Pages()("inbox.html", …)` is the whole answer."""

    def __init__(self, assets: Assets, *, login: bool = False) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("mailboat.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            asset=assets.url,
            version=mailboat.__version__,
            login=login,
            csrf=CSRF.get,
            session=SESSION.get,
            quiet=QUIET,
            pills=ICONS,
        )
        self._environment.filters.update(
            ago=ago, brief=brief, clock=clock, full=full, lasted=lasted, moment=moment, pretty=pretty, search=search,
            size=size
        )  # fmt: skip

    def render(self, template: str, /, **context: Any) -> str:
        """The text of a template."""
        return self._environment.get_template(template).render(context)

    def __call__(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, /, **context: Any
    ) -> Response:
        own = {**HEADERS, "Content-Security-Policy": PAGE_POLICY, "Vary": "HX-Request", **(headers or {})}
        return HTMLResponse(self.render(template, **context), status, own)


def mail(html: str) -> Response:
    """The HTML of a mail as its own, harmless page."""
    return HTMLResponse(html.encode("utf-8", "replace"), headers={**HEADERS, "Content-Security-Policy": MAIL_POLICY})


def search(q: str) -> str:
    """The part of a URL that keeps the search."""
    return f"?{urlencode({'q': q})}" if q else ""


def brief(moment: datetime, now: datetime | None = None) -> str:
    """For lists, UTC: 14:02 today, 9 Nov this year, else 22 Feb 2027."""
    moment, now = moment.astimezone(UTC), now or datetime.now(UTC)
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment.day} {moment:%b}" if moment.year == now.year else f"{moment.day} {moment:%b %Y}"


def full(moment: datetime) -> str:
    """24 Nov 2026, 14:31:40, UTC."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M:%S}"


def clock(moment: datetime) -> str:
    """14:31:40, UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def size(octets: int) -> str:
    """999 B, 38.4 kB, 1.2 MB."""
    if octets < 1000:
        return f"{octets}\u202fB"
    return f"{octets / 1000:.1f}\u202fkB" if octets < 999_950 else f"{octets / 1_000_000:.1f}\u202fMB"


def moment(at: datetime, now: datetime | None = None) -> str:
    """For tables, UTC: 14:02:11 today, 9 Nov 09:02 this year, else 22 Feb 2027."""
    at, now = at.astimezone(UTC), now or datetime.now(UTC)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y}"


def lasted(seconds: float) -> str:
    """41 ms, 1.2 s, 13 min 04 s, 5 h 10 min, 3 days."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}\u202fms"
    if seconds < 60:
        return f"{seconds:.1f}\u202fs"
    if seconds < 3600:
        return f"{int(seconds // 60)}\u202fmin {int(seconds % 60):02}\u202fs"
    if seconds < 2 * 86400:
        return f"{int(seconds // 3600)}\u202fh {int(seconds % 3600 // 60):02}\u202fmin"
    return f"{int(seconds // 86400)} days"


def ago(at: datetime, now: datetime | None = None) -> str:
    """How old something is: 13 min ago."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    for size_, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size_:
            return f"{int(seconds // size_)}\u202f{word} ago"
    return "just now"


def pretty(value: Any) -> str:
    """JSON to read."""
    return json.dumps(value, indent=2, ensure_ascii=False)
