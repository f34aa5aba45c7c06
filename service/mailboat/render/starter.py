"""The zygote as its parent sees it: asked for a process, it gives one in a few milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from mailboat.render.zygote import PID_BYTES


@dataclass(frozen=True)
class Started:
    """A new render process. Whoever takes it closes both descriptors."""

    pid: int
    pidfd: int
    connection: socket.socket


class Starter:
    """Keeps a zygote, and starts a new one when it has died. One `start` at a time."""

    def __init__(self) -> None:
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reply: asyncio.Future[Started] | None = None

    @property
    def pid(self) -> int | None:
        """The zygote's, if there is one."""
        return self._zygote.pid if self._zygote else None

    async def start(self, timeout: float) -> Started:
        """A new process. Raises OSError when there is none to be had, or not within `timeout` seconds."""
        if self._control is None:
            self._launch()
        assert self._control is not None
        self._reply = asyncio.get_running_loop().create_future()
        try:
            self._control.send(b"+")
            return await asyncio.wait_for(self._reply, timeout)
        except (OSError, TimeoutError) as error:
            self._drop()
            raise OSError(f"no render process: {error or 'the zygote does not answer'}") from error
        finally:
            self._reply = None

    async def close(self) -> None:
        """End the zygote, and with it every process that it started."""
        zygote = self._zygote
        self._drop(kill=False)
        if zygote:
            await asyncio.to_thread(_wait, zygote)

    def _launch(self) -> None:
        """Fork and exec, in the thread that stays: the zygote is killed when the thread that started it ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            library_path = os.environ.get("LD_LIBRARY_PATH")
            self._zygote = subprocess.Popen(
                [sys.executable, "-I", "-m", "mailboat.render.zygote", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"LD_LIBRARY_PATH": library_path} if library_path else {},
                start_new_session=True,  # Ctrl-C in a terminal is for us alone
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._readable)

    def _readable(self) -> None:
        assert self._control is not None
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PID_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if len(descriptors) == 2 and self._reply and not self._reply.done():
            connection = socket.socket(fileno=descriptors[0])
            self._reply.set_result(Started(int.from_bytes(packet, "little"), descriptors[1], connection))
            return
        for descriptor in descriptors:  # nobody waits any more; the process ends with its socket
            os.close(descriptor)
        if not packet:
            self._drop()
        if not descriptors and self._reply and not self._reply.done():
            self._reply.set_exception(OSError("the zygote ended" if not packet else "the zygote could not fork"))

    def _drop(self, *, kill: bool = True) -> None:
        """Forget this zygote; the next `start` launches another."""
        if self._control:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        if self._zygote and kill:
            self._zygote.kill()
            self._zygote.wait()
        self._control = self._zygote = None


def _wait(zygote: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        zygote.wait(2)
        return
    zygote.kill()
    zygote.wait()
