"""The API process: serve, connect in the background, drain.

Whatever the first answer does not need is imported after the socket is open, in a thread: logs, Postgres, Valkey.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import uvicorn

from mailboat.api import heads
from mailboat.api.front import Front
from mailboat.settings import Settings

DRAIN_SECONDS = 10


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are under way."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    front = Front(settings)
    server = _Server(
        front,
        uvicorn.Config(
            front,
            host=settings.host,
            port=settings.port,
            http=heads.Protocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            backlog=2048,
        ),
    )
    async with _probed(front, settings):
        await _run(front, server, settings)


@contextlib.asynccontextmanager
async def _probed(front: Front, settings: Settings) -> AsyncIterator[None]:
    """With a port for those who look after the process, if the settings name one. Raises ConfigurationError."""
    if not settings.metrics_port:
        yield
        return
    from mailboat.api import scrape

    async with scrape.probes(front).serving(settings):
        yield


async def _run(front: Front, server: _Server, settings: Settings) -> None:
    connecting = asyncio.create_task(_connect(front, server, settings))
    await server.serve()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    if front.context.done():
        await front.context.result().close()


async def _connect(front: Front, server: _Server, settings: Settings) -> None:
    """Postgres first, since requests wait for it; the Valkey client is a heavy import and only holds hints."""
    await server.listening.wait()
    modules = await asyncio.to_thread(_import_context, settings)
    context = await modules.Context.open(settings)
    front.context.set_result(context)
    valkey = await asyncio.to_thread(_import_valkey)
    context.attach(valkey.client(settings.redis_url))
    # What is here now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _import_context(settings: Settings) -> ModuleType:
    from mailboat import telemetry

    telemetry.configure_logs(settings.log_level, "api")
    from mailboat.api import context

    return context


def _import_valkey() -> ModuleType:
    from mailboat.db import valkey

    return valkey


class _Server(uvicorn.Server):
    """Says "not ready" from the moment it is told to stop, and leaves the cleaning up to us."""

    def __init__(self, front: Front, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._front = front
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: int) -> None:
        self._front.drain()
        self.handle_exit(number, None)
