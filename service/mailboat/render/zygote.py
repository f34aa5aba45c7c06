"""The zygote: a small process that has everything imported, and forks a render process whenever it is asked.

Run as a program with the descriptor of its control socket, the pid of its parent and the name of an engine. Each
packet that arrives asks for a process. The answer is a packet with its pid (0: fork failed), its socket and its pidfd.
Ends with the socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from importlib import import_module

from mailboat.render import child, confine
from mailboat.render.engines import ENGINES

PID_BYTES = 4


class Zygote:
    def __init__(self, control: socket.socket, engine: str) -> None:
        self._control, self._engine = control, engine
        self._children: set[int] = set()

    def serve(self) -> None:
        with contextlib.suppress(ConnectionError):  # the parent is gone, with an answer of ours unread
            while self._control.recv(1):
                self._reap()
                self._fork()
        self._end()

    def _fork(self) -> None:
        """Start a process and hand it over. It cannot be reaped before its pidfd is open, so the pidfd is right."""
        zygote = os.getpid()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                pid = os.fork()
            except OSError:
                traceback.print_exc()
                self._control.send(bytes(PID_BYTES))
                return
            if pid == 0:
                _become(theirs.fileno(), zygote, self._engine)
            self._children.add(pid)
            pidfd = os.pidfd_open(pid)
            try:
                socket.send_fds(self._control, [pid.to_bytes(PID_BYTES, "little")], [ours.fileno(), pidfd])
            finally:
                os.close(pidfd)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                self._children.discard(pid)

    def _end(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def _become(descriptor: int, zygote: int, engine: str) -> None:
    """In the new process: render until the end. Never returns into the zygote's code."""
    try:
        child.main(descriptor, zygote, engine)
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except BaseException:  # noqa: BLE001 (nothing may return into the zygote)
        traceback.print_exc()
    finally:
        os._exit(1)


def main() -> None:
    descriptor, parent, engine = sys.argv[1:]
    confine.die_with(int(parent))
    control = socket.socket(fileno=int(descriptor))
    ENGINES[engine].load()
    import_module("css_inline")  # its libraries are where a render process does not get to
    gc.collect()
    gc.freeze()  # or the first collection in every process would touch, and so copy, all of this memory
    Zygote(control, engine).serve()


if __name__ == "__main__":
    main()
