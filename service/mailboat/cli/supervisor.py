"""Child processes that are started, watched, started again when they die, and stopped in order.

A `Part` is data: any program can be one. The children hang on a leash: when the supervisor dies, even by kill -9, the
kernel sends each child a signal (Linux). They write to files, not to pipes, so that they can still log by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import functools
import os
import random
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from mailboat.cli.logs import Log
from mailboat.errors import MailboatError

STEADY = 10.0  # a part that lived for so many seconds died by accident, not by design
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
PATIENCE = 5  # deaths before the first readiness after which a part is given up
START_SECONDS = 60.0
LOOK_SECONDS = 0.02  # between two looks at whether a part is ready
LOG_SECONDS = 0.2
CONFIGURATION = 2  # the exit code by which a part says that starting it again is no use
PR_SET_PDEATHSIG = 1


class PartFailed(MailboatError):
    """A part did not start; `code` is its exit code (negative: a signal), None when it never became ready."""

    def __init__(self, name: str, code: int | None, detail: str) -> None:
        super().__init__(f"{name} {detail}")
        self.name, self.code = name, code


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One program to keep running.

    prepare  runs before each start, in the supervisor; may raise OSError
    leash    the signal that it gets when the supervisor dies, with all the others at once; None: its stop signal
    ready    answers whether the process with this id serves; None: as soon as it runs
    mend     runs after a death that came before the part was ready, before the next start
    echo     turns a line of the log into a line for the terminal, or None to leave it in the log
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    owner: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    leash: signal.Signals | None = None
    stop_seconds: float = 10.0
    prepare: Callable[[], None] | None = None
    ready: Callable[[int], Awaitable[bool]] | None = None
    mend: Callable[[], None] | None = None
    echo: Callable[[str], str | None] = str.strip


def pause(deaths: int) -> float:
    """Seconds to wait before a part is started again after so many deaths in a row: doubling, jittered, capped."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(deaths - 1, 16))
    return longest * random.uniform(0.5, 1.0)


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


@functools.cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _leash(number: int) -> Callable[[], None] | None:
    """What a child does between fork and exec (and after its change of user, which would undo it)."""
    libc, supervisor = _libc(), os.getpid()
    if libc is None:
        return None

    def hang_on() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != supervisor:  # it died before the leash was on
            os._exit(1)

    return hang_on


async def spawn(part: Part, log: Log, inherit: tuple[int, ...]) -> Process:
    """Start the part's program, leashed, in a session of its own. Raises OSError when it cannot be started."""
    user, group = part.owner or (None, None)
    with log.open() as output:
        return await asyncio.create_subprocess_exec(
            *part.argv,
            env=part.environment,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone, which stops all in order
            preexec_fn=_leash(part.leash or part.stop_signal),
            pass_fds=inherit,
            user=user,
            group=group,
            extra_groups=None if user is None else (),
        )


class Child:
    """One part in the care of the supervisor: its process, or the wait for the next one."""

    def __init__(self, part: Part, log: Log, say: Callable[[str], None], inherit: tuple[int, ...]) -> None:
        self.part, self.log, self._say, self._inherit = part, log, say, inherit
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process: Process | None = None
        self.faults = 0  # how often it ended by itself and said that something is wrong
        self._ready = False
        self._stopping = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {part.name}")

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process and self.process.returncode is None else None

    async def stop(self) -> None:
        """Ask the process to end, kill it when it takes longer than it may, and wait until it is gone."""
        self._stopping.set()
        self._signal(self.part.stop_signal)
        await asyncio.wait({self._keeper}, timeout=self.part.stop_seconds)
        if not self._keeper.done():
            self._say(f"{self.part.name} did not stop within {self.part.stop_seconds:g} s: killing it")
            self.kill()
        await self._keeper

    def kill(self) -> None:
        """End the process and whatever it started, at once."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _keep(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            born = time.monotonic()
            code = await self._live()
            if self._stopping.is_set():
                break
            self.faults += code > 0
            deaths = 1 if time.monotonic() - born >= STEADY else deaths + 1
            self._give_up(code, deaths)
            await self._recover(code, deaths)
        if not self.first_ready.done():
            self.first_ready.cancel()

    async def _live(self) -> int:
        """One life of the part, from start to end; its exit code."""
        self._ready = False
        try:
            if self.part.prepare:
                self.part.prepare()
            self.process = await spawn(self.part, self.log, self._inherit)
        except OSError as error:
            self._say(f"{self.part.name} cannot be started: {error}")
            return 126
        if self._stopping.is_set():
            self._signal(self.part.stop_signal)
        probe = asyncio.create_task(self._probe(self.process.pid))
        try:
            return await self.process.wait()
        finally:
            probe.cancel()
            await asyncio.wait({probe})

    async def _probe(self, pid: int) -> None:
        while self.part.ready and not await self.part.ready(pid):  # noqa: ASYNC110  # another process sets no event
            await asyncio.sleep(LOOK_SECONDS)
        self._ready = True
        if not self.first_ready.done():
            self.first_ready.set_result(None)

    def _give_up(self, code: int, deaths: int) -> None:
        """Tell whoever waits for the start that it is no use; the part goes on being tried until it is stopped."""
        if not self.first_ready.done() and (code == CONFIGURATION or deaths >= PATIENCE):
            self.first_ready.set_exception(PartFailed(self.part.name, code, f"{describe(code)}: see {self.log.path}"))

    async def _recover(self, code: int, deaths: int) -> None:
        if self.part.mend and not self._ready:
            self.part.mend()
        wait = pause(deaths)
        self._say(f"{self.part.name} {describe(code)}: starting it again in {wait:.1f} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._stopping.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Supervisor:
    """Keeps parts running, in groups: a group is started together and stopped together, the last one first.

    Each part's output goes to `NAME.log` in the folder `logs`; `say` gets one line for people at a time. `inherit` are
    file descriptors that every child holds open.
    """

    def __init__(self, logs: Path, say: Callable[[str], None], inherit: tuple[int, ...] = ()) -> None:
        self._logs, self._say, self._inherit = logs, say, inherit
        self._groups: list[list[Child]] = []
        self._followed: list[tuple[Part, Log]] = []
        self._reader = asyncio.create_task(self._read_logs(), name="read logs")

    @property
    def children(self) -> dict[str, Child]:
        return {child.part.name: child for group in self._groups for child in group}

    async def start(self, *parts: Part, within: float = START_SECONDS) -> None:
        """Start these parts as one group and wait until each is ready. Raises PartFailed, leaving them to `stop`."""
        group = [Child(part, self._follow(part), self._say, self._inherit) for part in parts]
        self._groups.append(group)
        for child in group:
            await self._await_ready(child, within)

    def confirm(self) -> None:
        """Raises PartFailed when a part has ended with a fault since its start: ready for a moment is too little."""
        for child in self.children.values():
            if child.faults:
                raise PartFailed(child.part.name, None, f"does not keep running: see {child.log.path}")

    async def run(self, part: Part) -> None:
        """Run a program that ends by itself. Raises PartFailed with its last line unless it ends with exit code 0."""
        log = Log(self._path(part))
        if part.prepare:
            part.prepare()
        process = await spawn(part, log, self._inherit)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            last = next((line.strip() for line in reversed(list(log.fresh())) if line.strip()), "")
            raise PartFailed(part.name, code, f"{describe(code)}: {last or 'it said nothing'}")

    async def stop(self) -> None:
        """Stop every part, group by group, the last one started first."""
        for group in reversed(self._groups):
            await asyncio.gather(*(child.stop() for child in group))
        self._reader.cancel()
        await asyncio.wait({self._reader})

    def kill(self) -> None:
        """End every part at once; `stop` still has to be awaited."""
        for child in self.children.values():
            child.kill()

    async def _await_ready(self, child: Child, within: float) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(child.first_ready), within)
        except TimeoutError:
            detail = f"was not ready within {within:g} s: see {self._path(child.part)}"
            raise PartFailed(child.part.name, None, detail) from None

    def _follow(self, part: Part) -> Log:
        log = Log(self._path(part))
        self._followed.append((part, log))
        return log

    def _path(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"

    async def _read_logs(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOG_SECONDS)
                self._echo()
        finally:
            self._echo()

    def _echo(self) -> None:
        for part, log in self._followed:
            for line in log.fresh():
                if text := part.echo(line):
                    self._say(f"{part.name}: {text}")
