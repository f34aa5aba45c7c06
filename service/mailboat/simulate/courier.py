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


class Courier:
    """`log` has the newest calls: what was sent and what was answered."""

    def __init__(self, switches: Callable[[], Switches], chance: random.Random) -> None:
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG)
        self._switches, self._chance = switches, chance
        self._waiting: asyncio.Queue[tuple[str, Post, int]] = asyncio.Queue()
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
        """How many calls are still to be made."""
        return self._open

    def take(self, posts: Iterable[Post], *, now: bool = False) -> None:
        """Send these to the webhook, if there is one; `now` is for what the switches shall not delay."""
        switches = self._switches()
        if not switches.webhook_url:
            return
        copies = [post for post in posts for _ in range(1 if now else switches.event_copies)]
        if switches.shuffle_events and not now:
            self._chance.shuffle(copies)
        for post in copies:
            delay = 0.0 if now else switches.event_delay + self._chance.uniform(0, switches.event_jitter)
            self._open += 1
            self._later(delay, (switches.webhook_url, post, 1))

    def _later(self, seconds: float, call: tuple[str, Post, int]) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._waiting.put_nowait, call)
        else:
            self._waiting.put_nowait(call)

    async def _send(self) -> None:
        while True:
            url, post, attempt = await self._waiting.get()
            status, error = await self._post(url, post)
            self.log.append({
                "url": str(httpx.URL(url).copy_with(userinfo=b"")),
                "headers": post.headers,
                "body": post.body.decode(),
                "attempt": attempt,
                "status": status,
                "error": error,
            })  # fmt: skip
            if 200 <= status < 300 or status == NEVER_AGAIN or attempt == ATTEMPTS:
                self._open -= 1
            else:
                self._later(FIRST_PAUSE * 2 ** (attempt - 1), (url, post, attempt + 1))

    async def _post(self, url: str, post: Post) -> tuple[int, str]:
        try:
            answer = await self._client.post(url, content=post.body, headers=post.headers)
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__}: {error}"
        return answer.status_code, ""
