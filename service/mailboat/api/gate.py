"""What holds for every request that reaches FastAPI, before a route is looked for."""

from __future__ import annotations

from typing import Any

from mailboat.api.asgi import Receive, Scope, Send

PAGES = "/ui"  # the dashboard's own streams have no end that a HEAD could wait for


class Gate:
    """ASGI middleware: HEAD is answered wherever GET is."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD" and not scope["path"].startswith(PAGES):
            scope = {**scope, "method": "GET"}  # the server leaves the body of the answer out
        await self._app(scope, receive, send)
