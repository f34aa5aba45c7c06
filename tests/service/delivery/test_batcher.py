"""Group commit: alone at once, together when busy, and each item its own answer."""

from __future__ import annotations

import asyncio

import pytest

from mailboat.delivery.batcher import Batcher


class Flusher:
    """Remembers its batches; answers each item with its double, when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.go.wait()
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


@pytest.fixture
async def flusher():
    return Flusher()


@pytest.fixture
async def batcher(flusher):
    batcher = Batcher([flusher], limit=4)
    yield batcher
    await batcher.close()


async def test_a_lone_item_is_flushed_at_once(batcher, flusher):
    assert await batcher.submit(7) == 14
    assert flusher.batches == [[7]]


async def test_what_arrives_during_a_flush_goes_together_within_the_limit_and_in_order(batcher, flusher):
    flusher.go.clear()
    first = batcher.submit(0)
    await asyncio.sleep(0)
    others = [batcher.submit(n) for n in range(1, 7)]
    flusher.go.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
    assert flusher.batches == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_failure_is_told_to_its_own_batch_and_the_next_one_goes_on(batcher, flusher):
    flusher.go.clear()
    futures = [batcher.submit(n) for n in (13, 1, 2, 3, 4)]
    flusher.go.set()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError] * 4 + [int]


async def test_a_caller_that_left_does_not_disturb_the_others(batcher, flusher):
    flusher.go.clear()
    gone, stays = batcher.submit(1), batcher.submit(2)
    await asyncio.sleep(0)
    gone.cancel()
    flusher.go.set()
    assert await stays == 4


async def test_two_flushers_work_at_once():
    flushers = [Flusher(), Flusher()]
    for flusher in flushers:
        flusher.go.clear()
    batcher = Batcher(flushers, limit=1)
    futures = [batcher.submit(n) for n in range(2)]
    await asyncio.sleep(0.01)
    assert [flusher.batches for flusher in flushers] == [[[0]], [[1]]]
    for flusher in flushers:
        flusher.go.set()
    assert await asyncio.gather(*futures) == [0, 2]
    await batcher.close()


async def test_closing_cancels_what_waits_and_what_is_under_way(flusher):
    batcher = Batcher([flusher], limit=1)
    flusher.go.clear()
    futures = [batcher.submit(n) for n in range(3)]
    await asyncio.sleep(0)
    await batcher.close()
    assert all(future.cancelled() for future in futures)
