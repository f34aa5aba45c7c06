"""Jobs on their way through the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mailboat.errors import TemplateFault
from mailboat.render import wire
from mailboat.render.base import Job, Outcome

LARGEST_FRAME_JOBS = 64
LARGEST_FRAME_BYTES = 4 << 20
SMALLEST_SHARE = 8


class Call:
    """One `render` call: its outcomes so far, of a compilation the artifact. `done` is resolved with the last one.

    `artifacts`: of the jobs' revisions, by digest, where they are known.
    """

    def __init__(self, jobs: Sequence[Job], artifacts: Mapping[str, bytes], *, compiles: bool = False) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes: dict[int, Outcome | bytes] = {}
        self.artifacts, self.compiles = artifacts, compiles
        self.tasks = [Task(self, index, job) for index, job in enumerate(jobs)]

    def settle(self, index: int, outcome: Outcome | bytes) -> None:
        self.outcomes[index] = outcome
        if len(self.outcomes) == len(self.tasks) and not self.done.done():
            self.done.set_result(None)

    def give(self) -> list[Outcome | bytes]:
        """The outcomes, in order, once; a call and its tasks hold each other, and so would all that was rendered be
        held until the next full collection."""
        outcomes = [self.outcomes[index] for index in range(len(self.tasks))]
        self.outcomes.clear()
        self.tasks.clear()
        return outcomes


class Task:
    """One job of a call. `struck`: a process died by itself while it was at this job."""

    __slots__ = ("call", "index", "job", "struck")

    def __init__(self, call: Call, index: int, job: Job) -> None:
        self.call, self.index, self.job, self.struck = call, index, job, False

    @property
    def wanted(self) -> bool:
        """False when the call was cancelled."""
        return not self.call.done.done()

    def settle(self, outcome: Outcome | bytes) -> None:
        self.call.settle(self.index, outcome)

    def fail(self, message: str) -> None:
        self.settle(TemplateFault(message, file=self.job.revision.sources.entry))


Frame = list[Task]


@dataclass(slots=True)
class Work:
    """One step of a process, and the tasks that fail if it does."""

    step: wire.Step
    tasks: Frame

    @property
    def unsettled(self) -> Frame:
        """The tasks that have no outcome yet."""
        return [task for task in self.tasks if task.index not in task.call.outcomes]


def shares(tasks: Frame, processes: int) -> Iterator[Frame]:
    """The tasks in frames: enough for every process, but none too small to be worth a trip or too large to carry."""
    most = min(max(-(-len(tasks) // processes), SMALLEST_SHARE), LARGEST_FRAME_JOBS)
    frame: Frame = []
    size = 0
    for task in tasks:
        if frame and (len(frame) == most or size + len(task.job.data) > LARGEST_FRAME_BYTES):
            yield frame
            frame, size = [], 0
        frame.append(task)
        size += len(task.job.data)
    if frame:
        yield frame
