"""Signing in with the admin token, and out."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Route, form
from mailboat.dashboard.session import COOKIE, LASTS_SECONDS, Sessions, TooMany

PATH = "/ui/login"
_OURS = re.compile(r"/ui(?:[/?][^\\\s]*)?")


class Login:
    """`/ui/login` and `/ui/logout`."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        self._desk, self._sessions = desk, sessions

    def routes(self) -> list[Route]:
        return [("GET", PATH, self.ask), ("POST", PATH, self.login), ("POST", "/ui/logout", self.logout)]

    async def ask(self, next: str = "/ui") -> Response:  # noqa: A002 - as the address has it
        return self._desk.pages("login.html", fault="", next=next)

    async def login(self, request: Request) -> Response:
        given = await form(request)
        wanted = given.get("next", "")
        address = request.client.host if request.client else ""
        try:
            cookie = self._sessions.opened(given.get("token", ""), address)
        except TooMany as error:
            headers = {"Retry-After": str(error.seconds)}
            return self._desk.pages("login.html", 429, headers, fault=str(error), next=wanted)
        if cookie is None:
            await self._desk.note("login.refused", address, {})
            return self._desk.pages("login.html", 401, fault="That is not the admin token.", next=wanted)
        await self._desk.note("login", address, {})
        to = wanted if _OURS.fullmatch(wanted) and "//" not in wanted else "/ui"
        answer = RedirectResponse(to, 303, pages.HEADERS)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=LASTS_SECONDS,
            path="/ui",
            httponly=True,
            samesite="strict",
            secure=self._is_https(request),
        )
        return answer

    async def logout(self, request: Request) -> Response:
        answer = Response(status_code=204, headers={**pages.HEADERS, "HX-Redirect": PATH})
        answer.delete_cookie(COOKIE, path="/ui", httponly=True, samesite="strict", secure=self._is_https(request))
        return answer

    def _is_https(self, request: Request) -> bool:
        return request.url.scheme == "https" or self._desk.settings.public_url.startswith("https:")


def turned_away(request: Request) -> Response:
    """To the login, and back to the page that was asked for."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})
    if request.method != "GET":
        return Response(status_code=401, headers=pages.HEADERS)
    return RedirectResponse(f"{PATH}?{urlencode({'next': path})}", 303, pages.HEADERS)
