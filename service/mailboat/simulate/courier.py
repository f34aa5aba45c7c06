"""Carries events to the webhook: late, repeated, out of order when told so, and again when nobody took them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import httpx

from mailboat.simulate.switches import Switches

SENDERS = 16
ATTEMPTS, FIRST_PAUSE = 6, 0.2  # the pause doubles; real providers take hours
TIMEOUT = 10.0
LOG = 1000
NEVER_AGAIN = 406  # Mailgun: "do not try again"


class Post(NamedTuple):
    """One call of the webhook, signed already: a copy is byte for byte the same."""

    headers: dict[str, str]
    body: bytes


class Call(NamedTuple):
    """One try. What is `lasting` is tried until somebody takes it, as long as its URL is the one that is set."""

    url: str
    post: Post
    attempt: int = 1
    lasting: bool = False


class Courier:
    """`log` has the newest calls: what was sent and what was answered."""

    def __init__(self, switches: Callable[[], Switches], chance: random.Random) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG)
        self._switches, self._chance = switches, chance
        self._waiting: asyncio.Queue[Call] = asyncio.Queue()
        self._open = 0
        self._senders: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Courier:
        self._client = httpx.AsyncClient(timeout=TIMEOUT, limits=httpx.Limits(max_connections=SENDERS))
        self._senders = [asyncio.create_task(self._send()) for _ in range(SENDERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._client.aclose()

    @property
    def open(self) -> int:
        """How many calls are still to be made; after six tries a lasting one is no longer counted."""
        return self._open

    def take(self, posts: Iterable[Post], *, now: bool = False) -> None:
        """Send these to the webhook, if there is one. `now` is for greetings: the switches do not delay them, and they
        last until somebody takes them, since a simulator may well be up before its webhook is."""
        switches = self._switches()
        if not switches.webhook_url:
            return
        copies = [post for post in posts for _ in range(1 if now else switches.event_copies)]
        if switches.shuffle_events and not now:
            self._chance.shuffle(copies)
        for post in copies:
            delay = 0.0 if now else switches.event_delay + self._chance.uniform(0, switches.event_jitter)
            self._open += 1
            self._later(delay, Call(switches.webhook_url, post, lasting=now))

    def _later(self, seconds: float, call: Call) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._waiting.put_nowait, call)
        else:
            self._waiting.put_nowait(call)

    async def _send(self) -> None:
        while True:
            call = await self._waiting.get()
            status, error = await self._post(call.url, call.post)
            self.log.append({
                "url": str(httpx.URL(call.url).copy_with(userinfo=b"")),
                "headers": call.post.headers,
                "body": call.post.body.decode(),
                "attempt": call.attempt,
                "status": status,
                "error": error,
            })  # fmt: skip
            taken = 200 <= status < 300 or status == NEVER_AGAIN
            if call.attempt <= ATTEMPTS and (taken or call.attempt == ATTEMPTS):
                self._open -= 1
            if not taken and (call.attempt < ATTEMPTS or self._lasts(call)):
                pause = FIRST_PAUSE * 2 ** (min(call.attempt, ATTEMPTS - 1) - 1)
                self._later(pause, call._replace(attempt=call.attempt + 1))

    def _lasts(self, call: Call) -> bool:
        return call.lasting and call.url == self._switches().webhook_url

    async def _post(self, url: str, post: Post) -> tuple[int, str]:
        try:
            answer = await self._client.post(url, content=post.body, headers=post.headers)
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__}: {error}"
        return answer.status_code, ""
