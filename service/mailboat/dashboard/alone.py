"""The previews of a folder on their own: no database, no other page, for one author on this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mailboat import telemetry
from mailboat.dashboard import guard, pages
from mailboat.dashboard.assets import KEEP, Assets
from mailboat.dashboard.desk import Refused, Route, Unknown
from mailboat.dashboard.previews import Previews
from mailboat.dashboard.saves import Saves
from mailboat.dashboard.shelves import Alone
from mailboat.dashboard.views.previews import PreviewPages
from mailboat.registry.folder import Folder
from mailboat.render.base import Renderer

HOME = "/ui/templates"


def app(folder: Path, renderer: Renderer, saves: Saves) -> FastAPI:
    """Serves the pages; `close` the saves when the server stops, which ends every stream."""
    assets = Assets()
    page = pages.Pages(assets)
    shown = PreviewPages(page, Previews(Alone(Folder(folder)), lambda: renderer), saves)

    async def home() -> Response:
        return RedirectResponse(HOME)

    async def static(digest: str, name: str) -> Response:
        asset = assets.get(digest, name)
        if asset is None:
            raise Unknown
        return Response(asset.content, media_type=asset.type, headers={**pages.HEADERS, "Cache-Control": KEEP})

    routes = APIRouter(route_class=_edge(page), default_response_class=Response)
    own: list[Route] = [("GET", "/", home), ("GET", "/ui", home), ("GET", "/ui/static/{digest}/{name:path}", static)]
    for method, path, handler in (*own, *shown.routes()):
        routes.add_api_route(path, handler, methods=[method])
    served = FastAPI(openapi_url=None, telemetry=telemetry.FRAMEWORKS_OWN)
    served.include_router(routes)
    return served


def _edge(page: pages.Pages) -> type[APIRoute]:
    """A route that refuses strangers, and has a page for what is not there."""

    async def answer(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        if reason := guard.refusal(request.method, request.headers):
            return page("refused.html", 403, reason=reason, stranger=True)
        try:
            return await handler(request)
        except Unknown:
            return page("unknown.html", 404)
        except Refused as reason:
            return page("refused.html", 422, reason=str(reason), stranger=False)

    class Edge(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handler = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                return await answer(request, handler)

            return guarded

    return Edge
