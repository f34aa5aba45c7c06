"""/docs: the reference of the API as a page of our own; it loads nothing from elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from mailboat.api import reference
from mailboat.dashboard import pages
from mailboat.dashboard.assets import KEEP, Assets
from mailboat.errors import Problem

PATH = "/docs"


def router() -> APIRouter:
    """The page, and its files, which it shares with the dashboard; that may be closed."""
    routes = APIRouter(include_in_schema=False, default_response_class=Response)
    assets = Assets()
    shown = pages.Pages(assets)

    @routes.get(PATH)
    async def docs(request: Request) -> Response:
        described = request.app.openapi()
        return shown("reference.html", info=described["info"], groups=reference.groups(described))

    @routes.get("/ui/static/{digest}/{name:path}")
    async def static(digest: str, name: str) -> Response:
        asset = assets.get(digest, name)
        if asset is None:
            raise Problem(404, "not_found", "There is no such file; the page that names it is an older one.")
        return Response(asset.content, media_type=asset.type, headers={**pages.HEADERS, "Cache-Control": KEEP})

    return routes
