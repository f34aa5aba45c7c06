"""The pages of `/ui`: who answers what; and the first steps and the inbox, which began it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import structlog
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from mailboat.dashboard import guard, inbox, mime, pages, parts
from mailboat.dashboard.assets import KEEP, Assets
from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, View
from mailboat.dashboard.feed import Feed, Viewer
from mailboat.dashboard.inbox import Cursor, Kept, Listing
from mailboat.dashboard.oidc import Oidc
from mailboat.dashboard.saves import Saves
from mailboat.dashboard.session import COOKIE, Sessions
from mailboat.dashboard.views import login
from mailboat.dashboard.views.audit import Audit
from mailboat.dashboard.views.clients import Clients
from mailboat.dashboard.views.login import Login
from mailboat.dashboard.views.messages import Messages
from mailboat.dashboard.views.overview import Overview
from mailboat.dashboard.views.providers import Providers
from mailboat.dashboard.views.single import SingleSignOn
from mailboat.dashboard.views.stopped import Stopped
from mailboat.dashboard.views.suppressions import Suppressions
from mailboat.dashboard.views.templates import Templates
from mailboat.dashboard.views.webhooks import Webhooks
from mailboat.db import engine
from mailboat.delivery import first_mail
from mailboat.delivery.ring import Doorbell
from mailboat.errors import ConfigurationError, Problem
from mailboat.registry.catalog import Catalog
from mailboat.render.base import Renderer
from mailboat.settings import Settings

log = structlog.get_logger()
PATIENCE = 10.0  # seconds that a page may take before Postgres counts as away
GATHER = 0.15  # seconds in which news are gathered into one event
KEEPALIVE = 15.0  # seconds between comments on a silent stream
WITHOUT_POSTGRES = (
    "/ui/static/",
    "/ui/inbox/stream",
    "/ui/templates/stream",
)  # their success says nothing about Postgres
WITHOUT_LOGIN = ("/ui/static/", login.PATH)
_HEADS = "select concat_ws(' ', count(*), max(updated_at)) from template_heads"
VIEWERS_LOOK = "You are signed in as a viewer, who may look. Changing anything needs the role admin."
PLACEHOLDER = {"api_key": "YOUR-KEY", "api_secret": "YOUR-SECRET"}


def router(
    *,
    pool: asyncpg.Pool,
    settings: Settings,
    feed: Feed,
    catalog: Catalog,
    renderer: Callable[[], Renderer],
    doorbell: Doorbell,
    orm: Callable[[], AsyncEngine],
    client_file: Path | None = None,
) -> APIRouter:
    """The dashboard. Without any route when it is closed.

    `feed`: `close` it when the server stops; that ends every stream. `renderer` and `orm` are called when they are
    needed first. `client_file`: the client.json of `mailboat up`, from which the first steps take the key for their
    curl line.
    """
    if settings.dashboard == "closed":
        return APIRouter()
    assets = Assets()
    sessions = _sessions(settings)
    page = pages.Pages(assets, login=sessions is not None)
    desk = Desk(pool, settings, page, catalog, renderer, doorbell, orm)
    saves = Saves(Path(settings.templates).resolve(), _declared(pool, catalog))
    feed.on_close(saves.close)
    ui = Dashboard(desk, assets, feed, client_file, sessions)
    views: list[View] = [
        Overview(desk),
        Messages(desk),
        Stopped(desk),
        Templates(desk, saves),
        Clients(desk),
        Providers(desk),
        Suppressions(desk),
        Webhooks(desk),
        Audit(desk),
        *(_ways_in(desk, sessions) if sessions else []),
    ]
    routes = APIRouter(include_in_schema=False, route_class=ui.edge(), default_response_class=Response)
    own: list[Route] = [
        ("GET", "/ui/static/{digest}/{name:path}", ui.static),
        ("GET", "/ui/health", ui.health),
        ("GET", "/ui/welcome", ui.welcome),
        ("GET", "/ui/welcome/first", ui.welcome_first),
        ("GET", "/ui/welcome/parts", ui.welcome_parts),
        ("GET", "/ui/inbox", ui.inbox),
        ("GET", "/ui/inbox/rows", ui.rows),
        ("GET", "/ui/inbox/stream", ui.stream),
        ("DELETE", "/ui/inbox", ui.clear),
        ("GET", "/ui/inbox/{message_id}", ui.mail),
        ("DELETE", "/ui/inbox/{message_id}", ui.delete),
        ("GET", "/ui/inbox/{message_id}/html", ui.mail_html),
        ("GET", "/ui/inbox/{message_id}/raw", ui.mail_raw),
        ("GET", "/ui/inbox/{message_id}/part/{number}", ui.mail_part),
    ]
    for method, path, handler in (*own, *(route for view in views for route in view.routes())):
        routes.add_api_route(path, handler, methods=[method])
    routes.add_api_route("/ui/{rest:path}", ui.nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    return routes


def _declared(pool: asyncpg.Pool, catalog: Catalog) -> Callable[[], Awaitable[str]]:
    """Asks what was declared last; what the catalogue knew before is not believed any more."""

    async def declared() -> str:
        found: str = await pool.fetchval(_HEADS)
        catalog.forget()
        return found

    return declared


def _sessions(settings: Settings) -> Sessions | None:
    if settings.dashboard != "login":
        return None
    if not settings.admin_token:
        raise ConfigurationError("MAILBOAT_DASHBOARD=login needs MAILBOAT_ADMIN_TOKEN, which one signs in with.")
    return Sessions(settings.admin_token, settings.viewer_token)


def _ways_in(desk: Desk, sessions: Sessions) -> list[View]:
    oidc = Oidc(desk.settings) if desk.settings.oidc_issuer else None
    way_in = Login(desk, sessions, oidc)
    return [way_in, *([SingleSignOn(desk, sessions, way_in, oidc)] if oidc else [])]


class Dashboard:
    """The handlers. Each answers one request; what goes wrong on the way is answered by `edge`."""

    def __init__(
        self, desk: Desk, assets: Assets, feed: Feed, client_file: Path | None, sessions: Sessions | None
    ) -> None:
        self._pool, self._settings, self._pages = desk.pool, desk.settings, desk.pages
        self._assets, self._feed, self._client_file = assets, feed, client_file
        self._sessions = sessions
        self._away_since: datetime | None = None

    def edge(self) -> type[APIRoute]:
        """A route that refuses strangers, and has a page for what went wrong."""
        dashboard = self

        class Edge(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Any]:
                handler, path = super().get_route_handler(), self.path

                async def guarded(request: Request) -> Response:
                    return await dashboard._answer(request, path, handler)

                return guarded

        return Edge

    async def _answer(self, request: Request, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        return self._refusal(request, path) or await self._handled(request, handler)

    def _refusal(self, request: Request, path: str) -> Response | None:
        """The answer to who may not ask this; `path` is that of the route."""
        if reason := guard.refusal(request.method, request.headers, anywhere=self._sessions is not None):
            return self._pages("refused.html", 403, reason=reason, stranger=True)
        if self._sessions is not None and not request.url.path.startswith(WITHOUT_LOGIN):
            cookie = request.cookies.get(COOKIE, "")
            session = self._sessions.session(cookie)
            if session is None:
                return login.turned_away(request)
            pages.CSRF.set(self._sessions.csrf(cookie))
            pages.SESSION.set(session)
            if request.method not in guard.SAFE and not self._sessions.carries(cookie, _token(request)):
                return self._pages(
                    "refused.html", 403, reason="The page is from another session: load it again.", stranger=False
                )
            if guard.needs_admin(request.method, path) and not session.may_act:
                return self._pages("refused.html", 403, reason=VIEWERS_LOOK, stranger=False)
        return None

    async def _handled(self, request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await handler(request)
        except Unknown:
            return self._pages("unknown.html", 404)
        except Refused as reason:
            return self._pages("refused.html", 422, reason=str(reason), stranger=False)
        except Problem as problem:
            return self._problem(problem)
        except engine.AWAY as error:
            return self._away(request, error)
        except DBAPIError as error:  # the same, as the ORM has it
            original = error.orig and error.orig.__cause__
            if isinstance(original, engine.AWAY):
                return self._away(request, original)
            return self._fault(request, error)
        except RequestValidationError as error:
            return self._pages("refused.html", 422, reason=_unreadable(error), stranger=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is in the log, and a person gets a page
            return self._fault(request, error)
        if not request.url.path.startswith(WITHOUT_POSTGRES):
            self._away_since = None
        return answer

    def _fault(self, request: Request, error: Exception) -> Response:
        log.error("page failed", path=request.url.path, exc_info=error)
        return self._pages("refused.html", 500, reason="It is our fault, and it is in the log.", stranger=False)

    def _problem(self, problem: Problem) -> Response:
        if problem.status == 404:
            return self._pages("unknown.html", 404)
        return self._pages("refused.html", problem.status, reason=problem.detail, stranger=False)

    def _away(self, request: Request, error: BaseException) -> Response:
        self._away_since = self._away_since or datetime.now(UTC)
        context = {
            "error": str(error) or type(error).__name__,
            "since": self._away_since,
            "seconds": int((datetime.now(UTC) - self._away_since).total_seconds()),
            "path": request.url.path,
            "unmade": isinstance(error, asyncpg.UndefinedTableError),
        }
        template = "away-card.html" if request.url.path == "/ui/health" else "away.html"
        return self._pages(template, 503, {"Retry-After": "2"}, **context)

    # ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def static(self, digest: str, name: str) -> Response:
        asset = self._assets.get(digest, name)
        if asset is None:
            raise Unknown
        return Response(asset.content, media_type=asset.type, headers={**pages.HEADERS, "Cache-Control": KEEP})

    async def nothing(self, request: Request, rest: str) -> Response:
        """What no page is at, or none that could be asked so."""
        if not rest and request.method == "GET":
            return RedirectResponse("/ui", 302, pages.HEADERS)
        raise Unknown

    async def health(self) -> Response:
        """Asked by the page that says that Postgres is away: makes it load again once it is not."""
        await self._pool.fetchval("select 1")
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})

    # ── First steps ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def welcome(self, request: Request) -> Response:
        url = self._settings.public_url or str(request.base_url).rstrip("/")
        example = await asyncio.to_thread(first_mail.example, Path(self._settings.templates))
        client_file = self._client_file if pages.SESSION.get().may_act else None  # there is a key in it
        return self._pages(
            "welcome.html",
            client_file=client_file,
            curl=first_mail.curl({**_client(client_file), "url": url}, example),
            templates=self._settings.templates,
            stays=self._settings.default_route == ["inbox"],
            **await self._parts(request),
            **await self._first(),
        )

    async def welcome_first(self) -> Response:
        return self._pages("first.html", **await self._first())

    async def welcome_parts(self, request: Request) -> Response:
        return self._pages("parts.html", **await self._parts(request))

    async def _first(self) -> dict[str, Any]:
        newest = await inbox.newest(self._pool)
        kept = await inbox.get(self._pool, newest) if newest else None
        return _reading(kept) if kept else {"mail": None}

    async def _parts(self, request: Request) -> dict[str, Any]:
        return {"host": request.url.netloc, "checks": await parts.look(self._pool, self._settings)}

    # ── Inbox ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def inbox(self, q: str = "", before: str = "") -> Response:
        listing = await inbox.page(self._pool, query=q, before=_cursor(before))
        newest = await inbox.get(self._pool, listing.rows[0].message_id) if listing.rows else None
        reading = _reading(newest) if newest else {"mail": None, "deleted": False}
        return self._pages("inbox.html", chosen=False, q=q, **reading, **_listed(listing))

    async def rows(self, q: str = "", before: str = "", until: str = "") -> Response:
        """A piece of the list: the mails older than `before`, or all again down to `until`."""
        last = _cursor(until)
        if last:
            listing = await inbox.since(self._pool, last, query=q)
        else:
            listing = await inbox.page(self._pool, query=q, before=_cursor(before))
        return self._pages("rows.html", q=q, **_listed(listing, last))

    async def mail(self, request: Request, message_id: str, q: str = "") -> Response:
        kept = await self._kept(message_id)
        if "hx-request" in request.headers:
            return self._pages("reader.html", chosen=True, q=q, **_reading(kept))
        listing = await inbox.page(self._pool, query=q)
        return self._pages("inbox.html", chosen=True, q=q, **_reading(kept), **_listed(listing))

    async def mail_html(self, message_id: str) -> Response:
        return pages.mail(mime.opened((await self._kept(message_id)).raw).page)

    async def mail_raw(self, message_id: str) -> Response:
        kept = await self._kept(message_id)
        return _file(kept.raw, f"{kept.row.message_id}.eml")

    async def mail_part(self, message_id: str, number: str) -> Response:
        found = mime.opened((await self._kept(message_id)).raw).attachments
        if not number.isdecimal() or int(number) >= len(found):
            raise Unknown
        return _file(found[int(number)].content, found[int(number)].name)

    async def delete(self, message_id: str, q: str = "") -> Response:
        identifier = _identifier(message_id)
        await inbox.delete(self._pool, identifier)
        headers = {"HX-Trigger": "heal", "HX-Push-Url": "/ui/inbox" + pages.search(q)}
        return self._pages("reader.html", 200, headers, chosen=False, mail=None, q=q, deleted=True)

    async def clear(self) -> Response:
        await inbox.clear(self._pool)
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Redirect": "/ui/inbox"})

    async def _kept(self, message_id: str) -> Kept:
        kept = await inbox.get(self._pool, _identifier(message_id))
        if kept is None:
            raise Unknown
        return kept

    # ── Live ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def stream(self, q: str = "") -> Response:
        headers = {**pages.HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._news(q), media_type="text/event-stream", headers=headers)

    async def _news(self, query: str) -> AsyncIterator[str]:
        """Server-sent events: `mail` with rows for the top of the list, or `heal` when it has to be drawn again."""
        with self._feed.viewer() as viewer:
            yield "retry: 1000\n\n"
            while not self._feed.closed:
                yield await self._event(viewer, query)
                try:
                    async with asyncio.timeout(KEEPALIVE):
                        await viewer.changed.wait()
                    await asyncio.sleep(GATHER)
                except TimeoutError:
                    yield ": nothing new\n\n"

    async def _event(self, viewer: Viewer, query: str) -> str:
        stale, ids = viewer.take()
        if stale:
            return "event: heal\ndata:\n\n"
        try:
            fresh = await inbox.rows(self._pool, ids, query=query) if ids else []
        except engine.AWAY:
            viewer.tell(None)
            return ": Postgres is away\n\n"
        if not fresh:
            return ": nothing to show\n\n"
        html = self._pages.render("mails.html", mails=fresh, q=query, fresh=True)
        return "event: mail\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"


def _unreadable(error: RequestValidationError) -> str:
    fault = error.errors()[0]
    return f"{fault['loc'][-1]}: {fault['msg']}."


def _token(request: Request) -> str:
    return request.headers.get("x-csrf-token", "")


def _listed(listing: Listing, last: Cursor | None = None) -> dict[str, Any]:
    """What a template needs to draw rows: they, and how far the list is drawn then."""
    end = listing.rows[-1].cursor if listing.rows else last
    return {"mails": listing.rows, "more": listing.more, "end": str(end or "")}


def _reading(kept: Kept) -> dict[str, Any]:
    """What a template needs to show one mail."""
    return {"mail": kept.row, "opened": mime.opened(kept.raw), "deleted": False}


def _identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Unknown from None


def _cursor(text: str) -> Cursor | None:
    try:
        return Cursor.parse(text) if text else None
    except ValueError:
        raise Unknown from None


def _client(file: Path | None) -> Mapping[str, str]:
    """Key and secret of the first client, or words in their place."""
    try:
        return {**PLACEHOLDER, **json.loads(file.read_text())} if file else PLACEHOLDER
    except (OSError, ValueError):
        return PLACEHOLDER


def _file(content: bytes, name: str) -> Response:
    """Something to save, never to show: it came from outside."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": "sandbox",
    }
    return Response(content, media_type="application/octet-stream", headers={**pages.HEADERS, **headers})
