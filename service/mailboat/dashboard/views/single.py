"""Signing in with an OpenID Connect provider: to it, and back.

Its words (state, nonce, verifier) are made of a number that only this browser has, in a cookie that comes back with a
navigation from the provider (SameSite=Lax) and is good once. The session's own is Strict: it is not sent along the way
that began elsewhere, so the last step is a page of ours that goes on by itself.
"""

from __future__ import annotations

import base64
import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mailboat.dashboard import pages
from mailboat.dashboard.desk import Desk, Route
from mailboat.dashboard.oidc import CALLBACK, Oidc, SignInFault, Words
from mailboat.dashboard.session import Sessions, TooMany
from mailboat.dashboard.views.login import Login, ours

START = "/ui/login/oidc"
COOKIE = "mailboat_sign_in"
LASTS_SECONDS = 600  # until one has to be back


class SingleSignOn:
    """`/ui/login/oidc` and what the provider sends back to."""

    def __init__(self, desk: Desk, sessions: Sessions, login: Login, oidc: Oidc) -> None:
        self._desk, self._sessions, self._login, self._oidc = desk, sessions, login, oidc

    def routes(self) -> list[Route]:
        return [("GET", START, self.leave), ("GET", CALLBACK, self.come_back)]

    async def leave(self, request: Request, next: str = "/ui") -> Response:  # noqa: A002 - as the address has it
        number = secrets.token_urlsafe(16)
        try:
            answer = RedirectResponse(await self._oidc.way_in(self._words(number)), 303, pages.HEADERS)
        except SignInFault as fault:
            return self._login.page(str(fault), fault.status, wanted=next)
        wanted = base64.urlsafe_b64encode(ours(next).encode("utf-8", "replace")).decode()
        answer.set_cookie(
            COOKIE,
            self._sessions.signed(f"sign-in.{number}.{wanted}", LASTS_SECONDS),
            max_age=LASTS_SECONDS,
            path=START,
            httponly=True,
            samesite="lax",
            secure=self._login.is_https(request),
        )
        return answer

    async def come_back(self, request: Request) -> Response:
        answer = await self._answer(request)
        answer.delete_cookie(COOKIE, path=START, httponly=True, samesite="lax", secure=self._login.is_https(request))
        return answer

    async def _answer(self, request: Request) -> Response:
        kind, _, rest = (self._sessions.said(request.cookies.get(COOKIE, "")) or "").partition(".")
        number, _, wanted = rest.partition(".")
        words = self._words(number)
        if kind != "sign-in" or not secrets.compare_digest(
            request.query_params.get("state", "").encode("utf-8", "replace"), words.state.encode()
        ):
            return self._login.page("This sign-in began in another browser, or too long ago. Begin it here.", 400)
        place, address = base64.urlsafe_b64decode(wanted).decode(), request.client.host if request.client else ""
        try:
            self._sessions.check(address)
            session = await self._oidc.session(request.query_params, words)
        except TooMany as many:
            return self._login.page(str(many), 429, {"Retry-After": str(many.seconds)})
        except SignInFault as fault:
            self._sessions.failed(address)
            await self._desk.note("login.refused", address, {"why": str(fault)})
            return self._login.page(str(fault), fault.status, wanted=place)
        await self._desk.note("login", address, {"name": session.name, "role": session.role})
        answer = self._desk.pages("signed-in.html", name=session.name, next=place)
        self._login.keep(request, answer, session)
        return answer

    def _words(self, number: str) -> Words:
        state, nonce, verifier = (self._sessions.mark(f"{word} {number}") for word in ("state", "nonce", "verifier"))
        return Words(state, nonce, verifier)
