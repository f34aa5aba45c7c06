"""A port for those who look after a process: /metrics, /livez and /readyz, on MAILBOAT_METRICS_PORT.

Plain HTTP/1.1 by hand, since workers have no web server and need none for three GETs. Nobody is asked who they are:
keep the port inside the machine or the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from mailboat import metrics
from mailboat.errors import ConfigurationError
from mailboat.settings import Settings

SECONDS = 5.0  # for a request and for its answer
LONGEST_HEAD = 8192
PLAIN = "text/plain; charset=utf-8"

Unready = Callable[[], Awaitable[str]]
"""Why the process is not ready; "" when it is."""
Refresh = Callable[[], Awaitable[None]]
"""Brings gauges up to date before they are read."""


async def _nothing() -> None:
    """What a role without gauges of others' state does before a scrape."""


class Probes:
    """Answers for one process, whatever port it serves."""

    def __init__(self, role: str, unready: Unready, refresh: Refresh = _nothing) -> None:
        self._role, self._unready, self._refresh = role, unready, refresh

    async def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        if path == "/metrics":
            await self._refresh()
            return 200, metrics.CONTENT_TYPE, metrics.exposition(self._role)
        if path == "/livez":
            return 200, PLAIN, b"ok\n"
        if path == "/readyz":
            reason = await self._unready()
            return (503, PLAIN, f"{reason}\n".encode()) if reason else (200, PLAIN, b"ok\n")
        return 404, PLAIN, b"There is /metrics, /livez and /readyz.\n"

    @contextlib.asynccontextmanager
    async def serving(self, settings: Settings) -> AsyncIterator[None]:
        """Serve on the port of the settings, if there is one. Raises ConfigurationError when it is taken."""
        if not settings.metrics_port:
            yield
            return
        try:
            server = await asyncio.start_server(self._talk, settings.host, settings.metrics_port, limit=LONGEST_HEAD)
        except OSError as error:
            raise ConfigurationError(
                f"MAILBOAT_METRICS_PORT={settings.metrics_port}: {error.strerror or error}. Give each process on a "
                f"machine a port of its own, or 0 for none."
            ) from None
        try:
            yield
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer; who is too slow, too long or gone gets none."""
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, _, rest = head.partition(" ")
                path = rest.partition(" ")[0].partition("?")[0]
                status, kind, body = await self.answer(path) if method in ("GET", "HEAD") else (405, PLAIN, b"GET\n")
                lines = [
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
                    f"Content-Type: {kind}",
                    f"Content-Length: {len(body)}",
                    "Connection: close",
                ]
                writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))
                await writer.drain()
        writer.close()
