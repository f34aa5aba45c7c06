"""The part that all simulators share: the order in which a send is judged, the control pages, and the server."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mailboat.simulate import outcomes
from mailboat.simulate.courier import Courier, Post
from mailboat.simulate.mails import Kept, Mails
from mailboat.simulate.outcomes import Kind
from mailboat.simulate.switches import Switches, changed

KEEP = 10_000
LARGEST = 60_000_000  # octets of a request
_HANG_UP = "mailboat.hang_up"


class Simulator(ABC):
    """One provider. A subclass says how it authorises, what it takes and refuses, and how its events look."""

    kind: ClassVar[str]
    send_paths: ClassVar[tuple[str, ...]]

    def __init__(self, switches: Switches, *, keep: int = KEEP, seed: int | None = None) -> None:
        self.switches = switches
        self.mails = Mails(keep)
        self._chance = random.Random(seed)
        self.courier = Courier(lambda: self.switches, self._chance)
        self._next_slot = 0.0

    # --- what a provider says

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Credentials and keys that go with this simulator: it has no secrets."""

    @abstractmethod
    def unauthorised(self, request: Request, body: bytes) -> Response | None:
        """The refusal of a call without the right credentials."""

    @abstractmethod
    def throttled(self) -> Response: ...

    @abstractmethod
    def failed(self, status: int) -> Response: ...

    @abstractmethod
    async def accept(self, request: Request, body: bytes) -> Kept | Response:
        """The mail in a request, or the refusal of it."""

    @abstractmethod
    def accepted(self, mail: Kept) -> Response: ...

    @abstractmethod
    def event(self, mail: Kept, recipient: str, kind: Kind, at: datetime) -> dict[str, Any] | None:
        """The event in the provider's own words; None where it has no such event."""

    @abstractmethod
    def posts(self, events: list[dict[str, Any]]) -> list[Post]:
        """The signed calls that carry these events."""

    def routes(self) -> list[Route]:
        """What the API has besides sending."""
        return []

    def greeting(self) -> list[Post]:
        """What a new webhook URL is sent first."""
        return []

    # --- what happens

    async def _send(self, request: Request) -> Response:
        body = await request.body()
        await asyncio.sleep(self.switches.latency)
        if refusal := self.unauthorised(request, body):
            return refusal
        if self._too_fast():
            return self.throttled()
        if self._chance.random() < self.switches.failure_rate:
            return self.failed(self.switches.failure_status)
        taken = await self.accept(request, body)
        if isinstance(taken, Response):
            return taken
        self.mails.keep(taken)
        self.courier.take(self._story(taken))
        if self._chance.random() < self.switches.lost_answer_rate:
            return _HungUp(request)
        return self.accepted(taken)

    def _too_fast(self) -> bool:
        """A bucket of one second: a burst of `max_per_second` passes, then one per slot."""
        if not (pace := self.switches.max_per_second):
            return False
        now = time.monotonic()
        slot = max(self._next_slot, now - 1)
        if slot + 1 / pace > now + 1e-9:
            return True
        self._next_slot = slot + 1 / pace
        return False

    def _story(self, mail: Kept) -> list[Post]:
        """One list of events per mail, kind by kind, as they would come."""
        if not self.switches.webhook_url:
            return []
        now = datetime.now(UTC)
        told = [(recipient, kind) for recipient in mail.recipients for kind in outcomes.of(recipient)]
        events = [self.event(mail, recipient, kind, now) for recipient, kind in told]
        return self.posts([event for event in events if event is not None])

    # --- control

    def app(self) -> Starlette:
        control = [
            Route("/_simulator", self._about),
            Route("/_simulator/mails", self._mails, methods=["GET", "DELETE"]),
            Route("/_simulator/mails/{identifier}", self._mail),
            Route("/_simulator/mails/{identifier}/raw", self._raw),
            Route("/_simulator/settings", self._settings, methods=["GET", "PUT"]),
            Route("/_simulator/webhooks", self._webhooks),
        ]
        sends = [Route(path, self._send, methods=["POST"]) for path in self.send_paths]
        return Starlette(routes=[*control, *sends, *self.routes()], lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.courier:
            self.courier.take(self.greeting(), now=True)
            yield

    async def _about(self, _: Request) -> Response:
        return JSONResponse({"provider": self.kind, **self.about()})

    async def _mails(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.mails.clear()
            return Response(status_code=204)
        return JSONResponse(self.mails.listing())

    async def _mail(self, request: Request) -> Response:
        mail = self.mails.find(request.path_params["identifier"])
        return JSONResponse(mail.parsed()) if mail else Response("No such mail.", 404)

    async def _raw(self, request: Request) -> Response:
        mail = self.mails.find(request.path_params["identifier"])
        return Response(mail.raw, media_type="message/rfc822") if mail else Response("No such mail.", 404)

    async def _settings(self, request: Request) -> Response:
        """PUT changes what it names and leaves the rest."""
        if request.method == "PUT":
            try:
                wishes = msgspec.json.decode(await request.body(), type=dict[str, Any])
                switches = changed(self.switches, wishes)
            except msgspec.DecodeError as error:
                return Response(str(error), 422)
            other = switches.webhook_url != self.switches.webhook_url
            self.switches = switches
            if other:
                self.courier.take(self.greeting(), now=True)
        return JSONResponse(msgspec.to_builtins(self.switches))

    async def _webhooks(self, _: Request) -> Response:
        return JSONResponse({"open": self.courier.open, "items": list(self.courier.log)})


class _HungUp(Response):
    """No answer at all: the connection is reset."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._request.scope[_HANG_UP]()
        while (await receive())["type"] != "http.disconnect":
            pass


class _Protocol(HttpToolsProtocol):
    """HTTP, and a way to hang up, which ASGI does not have."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[_HANG_UP] = self.transport.abort  # type: ignore[literal-required]


class _Server(uvicorn.Server):
    """Says when it serves, stops as soon as it is told, and leaves the signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready, self.stop = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()


def _listen(host: str, port: int) -> socket.socket:
    """asyncio turns Nagle's algorithm off only where a socket says that it is TCP; else each answer waits 40 ms."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError:
        listening.close()
        raise
    return listening


@contextlib.asynccontextmanager
async def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves while the block runs; gives the base URL. Port 0 takes a free one. Raises OSError."""
    with _listen(host, port) as listening:
        config = uvicorn.Config(
            simulator.app(),
            http=_Protocol,
            loop="none",
            ws="none",
            log_level="error",
            access_log=False,
            date_header=False,  # it is the loop that keeps it right
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        ready = asyncio.create_task(server.ready.wait())
        try:
            await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{listening.getsockname()[1]}"
        finally:
            ready.cancel()
            server.stop.set()
            await task
