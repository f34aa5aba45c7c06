"""What a burst has used of memory goes back to the system after it: glibc by itself keeps it for the next one."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Sized

LOOK_SECONDS = 0.5


def trimmer() -> Callable[[int], int] | None:
    """malloc_trim(3); None where the C library has no such thing."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


async def give_back(work: Sized, trim: Callable[[int], int] | None, look: float = LOOK_SECONDS) -> None:
    """Trim whenever `work` has become empty, for ever; it is looked at every `look` seconds."""
    busy = False
    while True:
        if busy and not work and trim is not None:
            trim(0)
        busy = bool(work)
        await asyncio.sleep(look)
