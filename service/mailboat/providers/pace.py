"""A provider asked no more than so many times a second, evenly."""

from __future__ import annotations

import asyncio
from typing import Any

from mailboat.domain.message import Mail, Receipt
from mailboat.providers.base import Provider


class Paced:
    """Passes everything on, `send` in its turn. The pace is this process's own;
    `delivery.route` keeps it among all of them."""

    def __init__(self, provider: Provider, per_second: float) -> None:
        self.name, self.kind, self.concurrency = provider.name, provider.kind, provider.concurrency
        self.per_second = per_second
        self._provider, self._gap = provider, 1 / per_second
        self._next = 0.0

    def build(self, mail: Mail) -> Any:
        return self._provider.build(mail)

    async def send(self, request: Any) -> Receipt:
        now = asyncio.get_running_loop().time()
        turn = max(self._next, now)
        self._next = turn + self._gap
        if turn > now:
            await asyncio.sleep(turn - now)
        return await self._provider.send(request)

    async def check(self) -> str:
        return await self._provider.check()

    async def close(self) -> None:
        await self._provider.close()
