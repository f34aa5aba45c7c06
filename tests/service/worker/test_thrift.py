"""Memory goes back to the system when a burst is over."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from mailboat.worker import thrift


@contextlib.asynccontextmanager
async def given_back(work: set[int], trims: list[int]) -> AsyncIterator[None]:
    def trim(pad: int) -> int:
        trims.append(pad)
        return 1

    task = asyncio.create_task(thrift.give_back(work, trim, look=0))
    try:
        yield
    finally:
        task.cancel()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_memory_is_trimmed_once_after_a_burst_and_not_during_it() -> None:
    work: set[int] = set()
    trims: list[int] = []
    async with given_back(work, trims):
        await turns()
        assert trims == []
        work.add(1)
        await turns()
        assert trims == []
        work.clear()
        await turns()
        assert trims == [0]
        await turns()
        assert trims == [0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc_trim is glibc's")
def test_the_c_library_gives_memory_back() -> None:
    trim = thrift.trimmer()
    if trim is None:
        pytest.skip("this C library has no malloc_trim")
    spread = [bytes(1000) for _ in range(50_000)][::100]  # what is kept lies between what is free
    assert trim(0) == 1
    assert spread
