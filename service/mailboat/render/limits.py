"""Limits that a render process sets itself. The parent's SIGKILL stands behind them."""

from __future__ import annotations

import signal
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
LARGEST_OUTPUT = 2 << 20
"""Characters of HTML, or of text, that a template may make."""

TOO_SLOW = f"took longer than {RENDER_SECONDS * 1000:.0f} ms and was stopped"
TOO_SLOW_TO_COMPILE = f"took longer than {COMPILE_SECONDS:.0f} s to compile and was stopped"
TOO_MUCH_MEMORY = "needs more memory than a template may use"


class RenderTimeout(BaseException):
    """Time is up. Not an Exception, so that nothing between the timer and us can swallow it."""


class Exhausted(TemplateFault):
    """A fault after which the process is not used again: it was interrupted anywhere, or out of memory."""


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise RenderTimeout


def install() -> None:
    """Make `limited` work. Main thread only."""
    signal.signal(signal.SIGALRM, _time_is_up)


def limited(
    seconds: float, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Do the work; raises RenderTimeout inside it when it takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
