"""The zygote as its parent sees it: asked for a process, it gives one in a few milliseconds."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from mailboat.render import confine
from mailboat.render.zygote import PID_BYTES

log = logging.getLogger(__name__)

PROGRAM = "mailboat.render.zygote"


@functools.cache
def _say_what_is_missing() -> None:
    for wall in confine.missing():
        log.info("templates are rendered without %s", wall)


class Zygote:
    """One zygote process, and the socket on which it is asked."""

    def __init__(self, engine: str) -> None:
        """Fork and exec. In the thread that stays: a zygote is killed when the thread that started it ends."""
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        library_path = os.environ.get("LD_LIBRARY_PATH")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", PROGRAM, str(theirs.fileno()), str(os.getpid()), engine],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=confine.public(os.environ) | ({"LD_LIBRARY_PATH": library_path} if library_path else {}),
                start_new_session=True,  # Ctrl-C in a terminal is for us alone
            )

    def is_alive(self) -> bool:
        """False before any of its processes is seen to die with it: the kernel closes its socket first."""
        try:
            return bool(self.control.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def kill(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Let it end its processes and itself. Blocks until it has."""
        self.control.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(frozen=True)
class Started:
    """A new render process. Whoever takes it closes both descriptors."""

    pid: int
    pidfd: int
    connection: socket.socket
    zygote: Zygote

    def discard(self) -> None:
        """Nobody wants it: it ends when its socket does."""
        self.connection.close()
        os.close(self.pidfd)


class Starter:
    """Keeps a zygote, and starts a new one when it has died. One `start` at a time."""

    def __init__(self, engine: str) -> None:
        _say_what_is_missing()
        self._engine = engine
        self._zygote: Zygote | None = None
        self._reply: asyncio.Future[Started] | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's, if there is one."""
        return self._zygote.process.pid if self._zygote else None

    async def start(self, timeout: float) -> Started:
        """A new process. Raises OSError when there is none to be had, or not within `timeout` seconds."""
        if self._zygote is None:
            self._zygote = Zygote(self._engine)
            asyncio.get_running_loop().add_reader(self._zygote.control, self._readable, self._zygote)
        reply: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._reply = reply
        try:
            self._zygote.control.send(b"+")
            async with asyncio.timeout(timeout):
                await reply
        except asyncio.CancelledError:
            if reply.done() and not reply.cancelled() and not reply.exception():
                reply.result().discard()
            raise
        except (OSError, TimeoutError) as error:
            self._drop()
            raise OSError(f"no render process: {error or 'the zygote does not answer'}") from error
        finally:
            self._reply = None
        return reply.result()

    async def close(self) -> None:
        """End the zygote, and with it every process that it started."""
        if self._zygote:
            zygote, self._zygote = self._zygote, None
            asyncio.get_running_loop().remove_reader(zygote.control)
            await asyncio.to_thread(zygote.end)

    def _drop(self) -> None:
        """Be rid of this zygote; the next `start` makes another."""
        if self._zygote:
            zygote, self._zygote = self._zygote, None
            asyncio.get_running_loop().remove_reader(zygote.control)
            zygote.kill()

    def _readable(self, zygote: Zygote) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(zygote.control, PID_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._drop()
        waiting = self._reply if self._reply and not self._reply.done() else None
        if descriptors:
            connection = socket.socket(fileno=descriptors[0])
            started = Started(int.from_bytes(packet, "little"), descriptors[1], connection, zygote)
            if waiting:
                waiting.set_result(started)
            else:
                started.discard()
        elif waiting:
            waiting.set_exception(OSError("the zygote could not fork" if packet else "the zygote ended"))
