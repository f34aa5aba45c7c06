"""Signing in with a token, and out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Route, form
from mailboat.dashboard.oidc import Oidc, SignInFault
from mailboat.dashboard.session import COOKIE, LASTS_SECONDS, Session, Sessions, TooMany

PATH = "/ui/login"
OUT = "/ui/logout"
_OURS = re.compile(r"/ui(?:[/?][^\\\s]*)?")


class Login:
    """`/ui/login` and `/ui/logout`. `oidc`: the other way in, if there is one."""

    def __init__(self, desk: Desk, sessions: Sessions, oidc: Oidc | None = None) -> None:
        self._desk, self._sessions, self._oidc = desk, sessions, oidc

    def routes(self) -> list[Route]:
        return [("GET", PATH, self.ask), ("POST", PATH, self.login), ("POST", OUT, self.logout)]

    async def ask(self, next: str = "/ui") -> Response:  # noqa: A002 - as the address has it
        return self.page(wanted=next)

    def page(
        self, fault: str = "", status: int = 200, headers: Mapping[str, str] | None = None, *, wanted: str = "/ui"
    ) -> Response:
        """The page that asks for a token, and says why there is no session yet."""
        context = {"fault": fault, "next": wanted, "oidc": self._oidc is not None}
        return self._desk.pages("login.html", status, headers, **context)

    async def login(self, request: Request) -> Response:
        given = await form(request)
        wanted = given.get("next", "")
        address = request.client.host if request.client else ""
        try:
            session = self._sessions.of_token(given.get("token", ""), address)
        except TooMany as error:
            return self.page(str(error), 429, {"Retry-After": str(error.seconds)}, wanted=wanted)
        if session is None:
            await self._desk.note("login.refused", address, {})
            return self.page("That is not a token of this dashboard.", 401, wanted=wanted)
        await self._desk.note("login", address, {"role": session.role})
        answer = RedirectResponse(ours(wanted), 303, pages.HEADERS)
        self.keep(request, answer, session)
        return answer

    def keep(self, request: Request, answer: Response, session: Session) -> None:
        """Begin this session with this answer."""
        answer.set_cookie(
            COOKIE,
            self._sessions.cookie(session),
            max_age=LASTS_SECONDS,
            path="/ui",
            httponly=True,
            samesite="strict",
            secure=self.is_https(request),
        )

    async def logout(self, request: Request) -> Response:
        session = self._sessions.session(request.cookies.get(COOKIE, ""))
        to = await self._way_out() if session and session.name else PATH
        answer = Response(status_code=204, headers={**pages.HEADERS, "HX-Redirect": to})
        answer.delete_cookie(COOKIE, path="/ui", httponly=True, samesite="strict", secure=self.is_https(request))
        return answer

    async def _way_out(self) -> str:
        try:
            return (await self._oidc.way_out() if self._oidc else None) or PATH
        except SignInFault:
            return PATH  # the provider is away; our own session ends all the same

    def is_https(self, request: Request) -> bool:
        return request.url.scheme == "https" or self._desk.settings.public_url.startswith("https:")


def ours(place: str) -> str:
    """A place of ours that was asked for, or the overview: never another host."""
    return place if _OURS.fullmatch(place) and "//" not in place else "/ui"


def turned_away(request: Request) -> Response:
    """To the login, and back to the page that was asked for."""
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={**pages.HEADERS, "HX-Refresh": "true"})
    if request.method != "GET":
        return Response(status_code=401, headers=pages.HEADERS)
    return RedirectResponse(f"{PATH}?{urlencode({'next': path})}", 303, pages.HEADERS)
