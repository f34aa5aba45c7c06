"""The front: a small ASGI application that answers at once, and loads the rest when somebody asks for it.

/livez, /readyz and POST /v1/send are served here; every other path is FastAPI's, which is imported at the first such
request. So the process answers before its heavy imports, and one that only accepts mail never pays for them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from mailboat.api.asgi import again, internal_error, respond, respond_problem
from mailboat.errors import Problem
from mailboat.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mailboat.api.asgi import Receive, Scope, Send
    from mailboat.api.context import Context

BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
COUNTED = frozenset({"/v1/send", "/v1/batch"})
STARTING_SECONDS = 5.0  # how long a request waits for the first connection to Postgres
PROBE_SECONDS = 0.9  # the same for /readyz: probes give up after a second


class Front:
    """The ASGI application. `context` is set when Postgres has answered for the first time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.context: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
        self.draining = False
        self._app: asyncio.Task[FastAPI] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except Problem as problem:
            if scope["path"] in COUNTED:
                _count(problem)
            await respond_problem(send, problem)
        except Exception:  # noqa: BLE001 - whatever it is, it is in the log
            _report(scope["path"])
            await respond_problem(send, internal_error())

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path == "/v1/send" and method == "POST":
            from mailboat.api import send as hot

            await hot.handle(await self.ready(), scope, receive, send)
        elif path == "/v1/batch" and method == "POST":
            from mailboat.api import batch

            await batch.handle(await self.ready(), scope, receive, send)
        elif path == "/metrics" and method in ("GET", "HEAD"):
            from mailboat.api import scrape

            await scrape.handle(self, self._settings, scope, send)
        elif path.startswith("/webhooks/"):
            from mailboat.api import webhooks

            await webhooks.handle(await self.ready(), scope, receive, send)
        elif path.startswith("/unsubscribe/"):
            from mailboat.api import unsubscribe

            await unsubscribe.handle(await self.ready(), scope, receive, send)
        elif path == "/" and method in ("GET", "HEAD"):
            await respond(send, 307, b"", [(b"location", b"/ui")])
        elif path == "/livez" and method in ("GET", "HEAD"):
            await respond(send, 200, b"ok\n", [(b"content-type", b"text/plain")])
        elif path == "/readyz" and method in ("GET", "HEAD"):
            await self._check()
            await respond(send, 200, b"ok\n", [(b"content-type", b"text/plain")])
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By FastAPI, which would read a body of any size: it gets those that we have read."""
        app, bodies = await self._fastapi(), (await self.ready()).other_bodies
        with contextlib.closing(bodies.hold()) as held:
            if scope["method"] not in BODILESS:
                headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
                receive = again(await bodies.read(headers, receive, held), receive)
            try:
                await app(scope, receive, send)
            except Exception:  # noqa: BLE001 - answered by `app._fault` already
                _report(scope["path"])

    async def unready(self) -> str:
        """Why this process is not ready, without waiting for a first connection; "" when it is."""
        if not self.context.done():
            return "Postgres has not answered yet."
        try:
            await self._check()
        except Problem as problem:
            return problem.detail
        return ""

    async def _check(self) -> None:
        if self.draining:
            raise Problem(503, "unavailable", "This process is stopping.")
        await (await self.ready(PROBE_SECONDS)).check()

    async def refresh(self) -> None:
        """Bring the gauges up to date, as soon as there is something to know."""
        if self.context.done():
            await self.context.result().refresh_gauges()

    def drain(self) -> None:
        """The server is about to stop: say so to who asks, and end what would never end."""
        self.draining = True
        if self.context.done():
            self.context.result().stop_streams()

    async def ready(self, seconds: float = STARTING_SECONDS) -> Context:
        """The context, as soon as there is one. Raises Problem 503 when that takes too long."""
        if self.context.done():
            return self.context.result()
        try:
            return await asyncio.wait_for(asyncio.shield(self.context), seconds)
        except TimeoutError:
            raise Problem(
                503, "unavailable", "The database is away; nothing was accepted.", headers={"Retry-After": "1"}
            ) from None

    async def _fastapi(self) -> FastAPI:
        if self._app is None or (self._app.done() and self._app.exception()):
            self._app = asyncio.create_task(self._load(await self.ready()))
        return await asyncio.shield(self._app)

    async def _load(self, context: Context) -> FastAPI:
        # Imported in a thread, so that requests on the hot path go on meanwhile.
        create = await asyncio.to_thread(_import_app)
        return create(context)


def _count(problem: Problem) -> None:
    from mailboat import metrics

    metrics.REFUSED.inc(problem.code)


def _report(path: str) -> None:
    import structlog

    structlog.get_logger().exception("request failed", path=path)


def _import_app() -> Callable[[Context], FastAPI]:
    from mailboat.api.app import create

    return create
