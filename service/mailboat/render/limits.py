"""Limits that a render process sets itself. The parent's SIGKILL stands behind them.

A step's time is what the CPU gave it, as long as the wall's clock is not far ahead: on a machine with too much to do, a
good template would otherwise fail for its neighbours' work.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

from mailboat.errors import TemplateFault

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

RENDER_SECONDS = 0.2
"""A render that is not done after this long is killed."""
SOFT_RENDER_SECONDS = 0.18
"""A render that is not done after this long is interrupted, if it can be."""
COMPILE_SECONDS = 2.0
"""The same for compiling a revision; the parent kills a little later."""
STARVED_SECONDS = 2.0
"""How far the wall's clock may be ahead while a step waits for its share of the CPU."""
FAIR_SHARE = 0.7
"""A step that had this part of its time on the CPU was not starved."""
LARGEST_OUTPUT = 2 << 20
"""Characters of HTML, or of text, that a template may make."""

TOO_SLOW = f"took longer than {RENDER_SECONDS * 1000:.0f} ms and was stopped"
TOO_SLOW_TO_COMPILE = f"took longer than {COMPILE_SECONDS:.0f} s to compile and was stopped"
STARVED = "found too little CPU time: the machine has too much to do; it is tried again later"
TOO_MUCH_MEMORY = "needs more memory than a template may use"


class RenderTimeout(BaseException):
    """Time is up. Not an Exception, so that nothing between the timer and us can swallow it."""


class Exhausted(TemplateFault):
    """A fault after which the process is not used again: it was interrupted anywhere, or out of memory."""


def is_starved(seconds: float, used: float) -> bool:
    """Whether a step whose `seconds` are over has `used` too little of them on the CPU to be the cause."""
    return used < seconds * FAIR_SHARE


def left(seconds: float, used: float) -> float:
    """Seconds to wait longer for a step that is starved."""
    return max(0.01, seconds - used)


class _Alarm:
    """The timer of the step that this process is at."""

    def __init__(self) -> None:
        self._seconds = self._used = 0.0

    def set(self, seconds: float) -> None:
        self._seconds, self._used = seconds, time.process_time()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def rings(self, _signal: int, _frame: FrameType | None) -> None:
        used = time.process_time() - self._used
        if not is_starved(self._seconds, used):
            raise RenderTimeout
        signal.setitimer(signal.ITIMER_REAL, left(self._seconds, used))  # for how long, the parent decides


_alarm = _Alarm()


def install() -> None:
    """Make `limited` work. Main thread only."""
    signal.signal(signal.SIGALRM, _alarm.rings)


def limited(
    seconds: float, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Do the work; raises RenderTimeout inside it when it takes longer."""
    _alarm.set(seconds)
    try:
        return work(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
