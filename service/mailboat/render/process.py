"""A render process as its parent sees it: a socket, a pidfd, and a clock for the step it is at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from mailboat.render import limits, wire
from mailboat.render.starter import Started
from mailboat.render.work import Work

READ_SIZE = 1 << 18
CPU_CLOCK = 2  # CPUCLOCK_SCHED: the scheduler's nanoseconds
COMPILE_KILL_SECONDS = limits.COMPILE_SECONDS + 0.2


class Owner(Protocol):
    """Who is told what becomes of a process."""

    def answered(self, process: Process, work: Work, answer: wire.Answer) -> None:
        """The process is done with this step; after the last one of its frame it is idle."""

    def lost(self, process: Process, *, late: bool) -> None:
        """The process is gone: killed since it was `late`, or by itself. `process.open_work` is not done.

        `process.is_starved`: it was late since the machine has too much to do.
        """


class Process:
    """One render process. `known` are the digests that it was given."""

    def __init__(self, owner: Owner, started: Started) -> None:
        self.pid = started.pid
        self.known: set[str] = set()
        self.answers = 0
        self.spent = False
        self.is_starved = False
        self._owner, self._zygote = owner, started.zygote
        self._pidfd, self._socket = started.pidfd, started.connection
        self._loop = asyncio.get_running_loop()
        self._work: Sequence[Work] = ()
        self._position = 0
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._deadline = self._begun = self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._readable)

    @property
    def open_work(self) -> Sequence[Work]:
        """What it was given and has not answered; the first is what it is at."""
        return self._work[self._position :]

    @property
    def is_orphan(self) -> bool:
        """Its zygote is dead, and so is it or will be at once."""
        return not self._zygote.is_alive()

    def send(self, work: Sequence[Work]) -> None:
        """Give an idle process a frame of work; the first step's time begins now."""
        self._work, self._position = work, 0
        self._unsent = memoryview(wire.pack([each.step for each in work]))
        self._restart_clock()
        if self._write() and self._unsent:
            self._loop.add_writer(self._socket, self._writable)

    def kill(self) -> None:
        """End it at once and for good. Its owner is not told."""
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        self._pidfd = -1
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._timer:
            self._timer.cancel()

    def _lose(self, *, late: bool = False) -> None:
        self.kill()
        self._owner.lost(self, late=late)

    # Clock

    def _restart_clock(self) -> None:
        """Something moved. The timer is set only if it would look too late; else it finds the new deadline itself."""
        self._begun, self._used = self._loop.time(), self._cpu_seconds()
        self._deadline = self._begun + self._allowed
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()

    @property
    def _allowed(self) -> float:
        """Seconds for the step that it is at."""
        compiling = isinstance(self._work[self._position].step, wire.Define)
        return COMPILE_KILL_SECONDS if compiling else limits.RENDER_SECONDS

    def _cpu_seconds(self) -> float:
        """What the CPU has given this process so far (clock_getcpuclockid of Linux: bits of the inverted id)."""
        try:
            return time.clock_gettime(~self.pid << 3 | CPU_CLOCK)
        except OSError:  # it has ended: the socket says so soon
            return self._used

    def _is_runnable(self) -> bool:
        """Whether a thread of it (V8 has one of its own) has or wants the CPU, or waits for a disk: neither asleep nor
        stopped."""
        try:
            stats = [task.joinpath("stat").read_text() for task in Path(f"/proc/{self.pid}/task").iterdir()]
        except OSError:
            return False
        return any(stat.rpartition(")")[2].split()[0] in ("R", "D") for stat in stats)

    def _wait_longer(self) -> bool:
        """Late, but only since the machine has too much to do: the deadline moves."""
        now, used = self._loop.time(), self._cpu_seconds() - self._used
        self.is_starved = limits.is_starved(self._allowed, used)
        if now - self._begun < self._allowed + limits.STARVED_SECONDS and self.is_starved and self._is_runnable():
            self._deadline = now + limits.left(self._allowed, used)
            return True
        return False

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._check_clock)

    def _check_clock(self) -> None:
        self._timer = None
        if self._is_late():
            self._readable()  # we may be late ourselves, and what it did in time not read yet
        if self._is_late() and not self._wait_longer():
            self._lose(late=True)
        if self._timer is None and self._is_busy():
            self._set_timer()

    def _is_busy(self) -> bool:
        return self._pidfd >= 0 and self._position < len(self._work)

    def _is_late(self) -> bool:
        return self._is_busy() and self._loop.time() >= self._deadline

    # Socket

    def _writable(self) -> None:
        if self._write() and not self._unsent:
            self._loop.remove_writer(self._socket)

    def _write(self) -> bool:
        """Send what the socket takes. False if the process is gone."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
                self._restart_clock()
        except BlockingIOError:
            return True
        except OSError:
            return False  # the reader sees the end too, after what was answered before it
        return True

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        self._received += data
        if self._is_busy():
            self._restart_clock()
        try:
            self._take_answers()
        except msgspec.MsgspecError:
            self._lose()

    def _take_answers(self) -> None:
        """Hand on every whole answer. Raises MsgspecError for bytes that no render process of ours sends."""
        received, start = self._received, 0
        with memoryview(received) as view:
            while (body := start + wire.HEADER) <= len(received):
                size = int.from_bytes(view[start:body], "little")
                if size > wire.LARGEST_ANSWER or not self._is_busy():
                    raise msgspec.DecodeError
                if body + size > len(received):
                    break
                with view[body : body + size] as message:
                    answer = wire.answers.decode(message)
                start = body + size
                self._advance(answer)
                if self._pidfd < 0:
                    return
        del received[:start]

    def _advance(self, answer: wire.Answer) -> None:
        work = self._work[self._position]
        self._position += 1
        self.answers += 1
        self.spent = self.spent or (isinstance(answer, wire.Failed) and answer.spent)
        if self._is_busy():
            self._restart_clock()
        self._owner.answered(self, work, answer)
