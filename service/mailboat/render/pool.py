"""The pool of render processes: one more than may work at once, so that a killed one is replaced at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mailboat import metrics
from mailboat.domain.revision import Revision
from mailboat.errors import RenderUnavailable, TemplateFault
from mailboat.render import limits, wire
from mailboat.render.base import Job, Outcome
from mailboat.render.lru import Lru
from mailboat.render.process import Process
from mailboat.render.starter import Starter
from mailboat.render.work import Call, Frame, Task, Work, shares

log = logging.getLogger(__name__)

KEPT_ARTIFACTS = 256
NONE: Mapping[str, bytes] = MappingProxyType({})
WORDS: Mapping[type, str] = {TemplateFault: "fault", RenderUnavailable: "unavailable"}  # of outcomes in metrics
LONGEST_BACKOFF = 1.0
SPARE_SECONDS = 1.0  # how long the spare waits for the first answer of a process that was started before it
DIED = "ended the render process twice (a crash, or out of memory)"


class Pool:
    """A `base.Renderer` on killable processes. Belongs to the event loop in which it first renders.

    engine: what its processes are made for.  processes: how many work at once.  recycle: renders after which a
    process is replaced.  patience: seconds that jobs wait for a process when there is none, before they give
    RenderUnavailable.
    """

    def __init__(self, processes: int, *, engine: str = "jinja", recycle: int = 50_000, patience: float = 5.0) -> None:
        self._size, self._recycle, self._patience = processes, recycle, patience
        self._engine, self._starter = engine, Starter(engine)
        self._artifacts: Lru[str, bytes] = Lru(KEPT_ARTIFACTS)
        self._queue: deque[Frame] = deque()
        self._processes: set[Process] = set()
        self._idle: list[Process] = []  # the last one used is the next one used: the others' memory stays shared
        self._vacancy = asyncio.Event()
        self._complete = asyncio.Event()
        self._moved = asyncio.Event()
        self._staff: asyncio.Task[None] | None = None
        self._failures = 0
        self._alone_since = 0.0
        self._closed = False
        self.killed = 0
        """Processes that were killed because a job took too long."""
        self.died = 0
        """Processes that ended by themselves."""

    @property
    def pids(self) -> list[int]:
        """Of the render processes that are alive, the spare one included."""
        return sorted(process.pid for process in self._processes)

    @property
    def zygote_pid(self) -> int | None:
        return self._starter.pid

    async def start(self) -> None:
        """Start every process now instead of at the first render. Raises RenderUnavailable if that takes too long."""
        self._open()
        try:
            async with asyncio.timeout(self._patience):
                await self._complete.wait()
        except TimeoutError:
            raise RenderUnavailable("the render processes do not start; see the log") from None

    async def render(self, jobs: Sequence[Job], artifacts: Mapping[str, bytes] = NONE) -> list[Outcome]:
        """See `base.Renderer`. `artifacts`: of the jobs' revisions, by digest; without one, sources are compiled."""
        if not jobs:
            return []
        begun = time.perf_counter()
        outcomes = await self._settle(Call(jobs, artifacts))
        metrics.RENDER_SECONDS.observe(time.perf_counter() - begun, self._engine)
        found = [outcome for outcome in outcomes if not isinstance(outcome, bytes)]
        for outcome in found:
            metrics.RENDERED.inc(self._engine, WORDS.get(type(outcome), "rendered"))
        return found

    async def compile(self, revision: Revision) -> bytes:
        """The artifact of a revision, maybe of another engine. Raises TemplateFault, RenderUnavailable."""
        (outcome,) = await self._settle(Call([Job(revision, b"{}")], NONE, compiles=True))
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, bytes)
        return outcome

    async def _settle(self, call: Call) -> list[Outcome | bytes]:
        self._open()
        self._queue.extend(shares(call.tasks, self._size))
        self._pump()
        await call.done
        return call.give()

    async def close(self) -> None:
        """End every process. Jobs that are not done give RenderUnavailable."""
        self._closed = True
        if self._staff:
            self._staff.cancel()
            await asyncio.gather(self._staff, return_exceptions=True)
        for process in self._processes:
            process.kill()
            self._queue.append([task for work in process.open_work for task in work.tasks])
        self._processes.clear()
        self._idle.clear()
        self._give_up("the pool of render processes is closed")
        await self._starter.close()

    # Work

    def _pump(self) -> None:
        """Hand out frames while one of the `processes` that may work at once is idle."""
        while self._queue and self._idle and len(self._processes) - len(self._idle) < self._size:
            frame = [task for task in self._queue.popleft() if task.wanted]
            if frame:
                process = self._idle.pop()
                process.send(self._work(process, frame))

    def _work(self, process: Process, frame: Frame) -> list[Work]:
        """The steps for these tasks: each revision that the process does not know is defined before its first use."""
        work = []
        for task in frame:
            revision = task.job.revision
            if task.call.compiles:
                work.append(Work(wire.Define(revision.digest, revision.sources.engine, revision.sources, None), [task]))
                continue
            if revision.digest not in process.known:
                process.known.add(revision.digest)
                concerned = [other for other in frame if other.job.revision.digest == revision.digest]
                work.append(Work(self._define(task), concerned))
            job = task.job
            step = wire.Render(revision.digest, revision.sources.engine, job.data, job.locale, job.thorough)
            work.append(Work(step, [task]))
        return work

    def _define(self, task: Task) -> wire.Define:
        revision = task.job.revision
        artifact = task.call.artifacts.get(revision.digest) or self._artifacts.get(revision.digest)
        sources = revision.sources if artifact is None else None
        return wire.Define(revision.digest, revision.sources.engine, sources, artifact)

    def answered(self, process: Process, work: Work, answer: wire.Answer) -> None:
        """A process is done with a step."""
        self._failures = 0
        self._moved.set()
        digest = work.step.digest
        match answer:
            case wire.Done(rendered):
                work.tasks[0].settle(rendered)
            case wire.Defined(bytes() as artifact):
                if work.tasks[0].call.compiles:
                    work.tasks[0].settle(artifact)
                else:
                    self._artifacts[digest] = artifact
            case wire.Failed():
                _fail(process, work, answer)
            case wire.Unknown():
                process.known.discard(digest)
                self._again(work.unsettled)
        if not process.open_work:
            self._release(process)

    def _release(self, process: Process) -> None:
        """A process has finished its frame."""
        if process.spent or process.answers >= self._recycle:
            process.kill()
            self._remove(process)
        else:
            self._idle.append(process)
        self._pump()

    def _again(self, frame: Frame) -> None:
        if frame:
            self._queue.appendleft(frame)

    def lost(self, process: Process, *, late: bool) -> None:
        """A process is gone. The step that it was at is to blame; everything else goes to another process."""
        self._remove(process)
        self._moved.set()
        self.killed += late
        self.died += not late
        (metrics.RENDER_KILLS if late else metrics.RENDER_DEATHS).inc(self._engine)
        self._failures += not (late or process.answers)
        if process.open_work:
            culprit, *others = process.open_work
            innocent = [task for work in others if isinstance(work.step, wire.Render) for task in work.tasks]
            self._again([task for task in innocent if task not in culprit.tasks])
            if late and process.is_starved:
                self._again(_pity(culprit))
            else:
                self._again(_blame(culprit, late=late, orphan=process.is_orphan))
        self._pump()

    # Staff

    def _open(self) -> None:
        if self._closed:
            raise RenderUnavailable("the pool of render processes is closed")
        if self._staff is None:
            self._alone_since = asyncio.get_running_loop().time()
            self._vacancy.set()
            self._staff = asyncio.create_task(self._keep_staffed())

    def _remove(self, process: Process) -> None:
        self._processes.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        if not self._processes:
            self._alone_since = asyncio.get_running_loop().time()
        self._vacancy.set()
        self._complete.clear()

    async def _keep_staffed(self) -> None:
        """Start processes, one after the other, whenever one is missing. Failures make it wait longer each time."""
        loop = asyncio.get_running_loop()
        while await self._vacancy.wait():
            if self._failures:
                await asyncio.sleep(min(0.05 * 2 ** (self._failures - 1), LONGEST_BACKOFF))
            try:
                started = await self._starter.start(self._patience)
            except OSError as error:
                self._failures += 1
                log.warning("%s", error)
                if not self._processes and loop.time() - self._alone_since >= self._patience:
                    self._give_up(f"{error}; the log of the worker says more")
                continue
            process = Process(self, started)
            self._processes.add(process)
            self._idle.insert(0, process)
            if len(self._processes) > self._size:
                self._vacancy.clear()
                self._complete.set()
            self._pump()
            if process not in self._idle and len(self._processes) == self._size:
                await self._first_answer()

    async def _first_answer(self) -> None:
        """The spare starts when the others have begun: the first mail would share the CPU with it."""
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SPARE_SECONDS):
                await self._moved.wait()

    def _give_up(self, reason: str) -> None:
        while self._queue:
            for task in self._queue.popleft():
                task.settle(RenderUnavailable(reason))


def _fail(process: Process, work: Work, failed: wire.Failed) -> None:
    """A fault in a render is that job's; a fault in a revision is every job's that wants it."""
    if isinstance(work.step, wire.Define):
        process.known.discard(work.step.digest)
    for task in work.tasks:
        file = failed.file or task.job.revision.sources.entry
        task.settle(TemplateFault(failed.message, file=file, line=failed.line, column=failed.column))


def _pity(culprit: Work) -> Frame:
    """Give back the tasks of a step that was late for want of CPU time; what was struck before is to be had later."""
    for task in culprit.unsettled:
        if task.struck:
            task.settle(RenderUnavailable(f"{task.job.revision.sources.entry} {limits.STARVED}"))
        task.struck = True
    return culprit.unsettled


def _blame(culprit: Work, *, late: bool, orphan: bool) -> Frame:
    """Fail the tasks of the step at which a process was lost. Those that deserve another try, alone, are given back."""
    guilty = culprit.unsettled
    if orphan:
        return guilty
    retried = [] if late else [task for task in guilty if not task.struck]
    too_slow = limits.TOO_SLOW_TO_COMPILE if isinstance(culprit.step, wire.Define) else limits.TOO_SLOW
    for task in guilty:
        if task.struck or late:
            task.fail(too_slow if late else DIED)
        task.struck = True
    return retried
