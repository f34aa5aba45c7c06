"""What holds for every request: HEAD where there is GET, and that a body which says to be no JSON is not read as it."""

from __future__ import annotations

from typing import Any

from mailboat.api.asgi import Receive, Scope, Send
from mailboat.errors import Problem

PAGES = "/ui"  # the dashboard's own streams have no end that a HEAD could wait for
# As nearly every caller writes it, so that the hot path looks no further. What says nothing is taken for JSON, and so
# is what curl -d says by itself.
CURLS_OWN = "application/x-www-form-urlencoded"
USUAL = frozenset({None, CURLS_OWN, "application/json", "application/json; charset=utf-8"})


def check_json(kind: str | None) -> None:
    """Raises Problem 415 for a Content-Type that is neither JSON's nor curl's own."""
    if kind not in USUAL:
        media = (kind or "").partition(";")[0].strip().lower()
        if media not in ("application/json", CURLS_OWN) and not media.endswith("+json"):
            raise not_json(kind)


def not_json(kind: str | None) -> Problem:
    """The refusal of a body by its Content-Type."""
    detail = (
        f"The body has to be application/json, and its Content-Type has to say so; it is {(kind or '')[:80]!r}. "
        "With curl add -H 'Content-Type: application/json'."
    )
    return Problem(415, "unsupported_media_type", detail, headers={"Accept": "application/json"})


class Gate:
    """ASGI middleware: HEAD is answered wherever GET is."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD" and not scope["path"].startswith(PAGES):
            scope = {**scope, "method": "GET"}  # the server leaves the body of the answer out
        await self._app(scope, receive, send)
