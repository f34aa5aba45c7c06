"""Seats: how many may be at something at once, in a number that may change meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque


class Seats:
    """`async with` it to have a seat; who comes first gets the next one. Nobody has to leave when there are fewer."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, size: int) -> None:
        self.size = size
        self._call()

    async def __aenter__(self) -> None:
        if self._taken < self.size:
            self._taken += 1
            return
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if not ticket.cancelled():  # it was called in the moment of leaving
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        self._call()

    def _call(self) -> None:
        while self._waiting and self._taken < self.size:
            ticket = self._waiting.popleft()
            if not ticket.cancelled():
                self._taken += 1
                ticket.set_result(None)
