"""A gate between an operator and the API server, which does to its requests what networks and busy servers do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import Any

import aiohttp
from aiohttp import web
from tests.cluster.control_plane import ControlPlane
from tests.conftest import free_port

HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding"}
EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
BUSY = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429}


class Gate:
    """Lives in the loop in which it is entered; its switches may be set from elsewhere.

    `busy`: so many requests more are answered with 429 and Retry-After, but none about a Lease: the API server has a
    level of priority of its own for them. `expire`: every watch ends with 410, once for each that is open and for those
    that come meanwhile. `cut()`: nothing comes through the connections that are open now, in either direction, and
    nobody is told.
    """

    def __init__(self, cluster: ControlPlane) -> None:
        self.url = f"https://127.0.0.1:{free_port()}"
        self.busy, self.expire, self.turned_away, self.expired = 0, False, 0, 0
        self._upstream, self._folder = cluster.url, cluster.folder
        self._open: set[Any] = set()
        self._cut: set[Any] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Gate:
        trusted = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(self._folder / "server.crt", self._folder / "server.key")
        await web.TCPSite(self._runner, "127.0.0.1", int(self.url.rpartition(":")[2]), ssl_context=own).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()

    def cut(self) -> None:
        self._cut |= self._open

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.ensure_future(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await task

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        line = request.transport
        self._open.add(line)
        if line in self._cut:
            await asyncio.Event().wait()
        if self.busy > 0 and "/leases/" not in request.path:
            self.busy, self.turned_away = self.busy - 1, self.turned_away + 1
            return web.json_response(BUSY, status=429, headers={"Retry-After": "1"})
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        body = await request.read()
        async with self._session.request(
            request.method, self._upstream + request.path_qs, headers=headers, data=body or None
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):  # the operator has hung up
                if "watch" in request.query:
                    await self._watched(answer, response, line)
                else:
                    await response.write(await answer.read())
                await response.write_eof()
            return response

    async def _watched(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, line: Any) -> None:
        following = asyncio.ensure_future(answer.content.readany())
        try:
            while True:
                await asyncio.wait({following}, timeout=0.05)
                if line in self._cut:
                    await asyncio.Event().wait()
                if self.expire:
                    self.expired += 1
                    await response.write(json.dumps({"type": "ERROR", "object": EXPIRED}).encode() + b"\n")
                    return
                if following.done():
                    if not (part := following.result()):
                        return
                    await response.write(part)
                    following = asyncio.ensure_future(answer.content.readany())
        finally:
            following.cancel()
