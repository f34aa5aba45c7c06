"""`mailboat template preview`: the preview pages of one folder, with neither Postgres nor Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import uvicorn

from mailboat.cli.template import source_folder
from mailboat.dashboard import alone
from mailboat.dashboard.saves import Saves
from mailboat.errors import MailboatError
from mailboat.render.pools import Pools

HOST = "127.0.0.1"  # the pages have no login
GRACE = 10  # seconds for answers under way


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to serve on.  [default: a free one]")
def preview(folder: Path | None, port: int) -> None:
    """Serve the previews of a FOLDER's templates on this machine until Ctrl-C; they follow as you save.

    Without a FOLDER it is $MAILBOAT_TEMPLATES, or ./templates. It needs nothing else to run.
    """
    folder = source_folder(folder, "name one: mailboat template preview FOLDER").resolve()
    with _listen(port) as listening:
        asyncio.run(_serve(folder, listening))


async def _serve(folder: Path, listening: socket.socket) -> None:
    renderer, saves = Pools(1), Saves(folder)
    served = alone.app(folder, renderer, saves)
    config = uvicorn.Config(
        served, loop="none", ws="none", lifespan="off", log_level="warning", timeout_graceful_shutdown=GRACE
    )
    try:
        await _Server(config, folder, saves).serve(sockets=[listening])
    finally:
        await renderer.close()


class _Server(uvicorn.Server):
    """Says where it is once it listens; ends the streams when it is told to stop."""

    def __init__(self, config: uvicorn.Config, folder: Path, saves: Saves) -> None:
        super().__init__(config)
        self._folder, self._saves = folder, saves

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        port = sockets[0].getsockname()[1]
        click.echo(f"Previews of {os.path.relpath(self._folder)}: http://localhost:{port}{alone.HOME} (Ctrl-C ends it)")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: int) -> None:
        self._saves.close()
        self.handle_exit(number, None)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise MailboatError(f"Cannot listen on port {port}: {reason}. Choose another --port, or none.") from None
