"""LISTEN that survives its connection: who listens also learns when notifications may have been missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg

from mailboat.db import engine

PING_SECONDS = 5.0
PAUSE_SECONDS = 0.5


async def follow(
    dsn: str, name: str, channels: Mapping[str, Callable[[str], None]], connected: Callable[[bool], None]
) -> None:
    """Hand each notification's payload to its channel's function, for ever.

    `connected(True)` is called when listening has begun, `connected(False)` when it has ended: between the two nothing
    is missed, and after each of them anything may have been.
    """
    while True:
        connection = None
        try:
            connection = await engine.connect(dsn, name=name)
            await _listen(connection, channels, connected)
        except engine.AWAY:
            pass
        finally:
            connected(False)
            if connection is not None:
                connection.terminate()
        await engine.pause(PAUSE_SECONDS)


async def _listen(
    connection: asyncpg.Connection, channels: Mapping[str, Callable[[str], None]], connected: Callable[[bool], None]
) -> None:
    def receive(_: Any, __: int, channel: str, payload: str) -> None:
        channels[channel](payload)

    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    for channel in channels:
        await connection.add_listener(channel, receive)
    connected(True)
    while not ended.is_set():
        # A connection cut in silence is noticed by its missing answer.
        await connection.fetchval("select 1", timeout=PING_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                await ended.wait()
