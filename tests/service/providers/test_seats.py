"""Seats: never more than there are, in order, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mailboat.providers.seats import Seats


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**32))
def test_nobody_comes_in_above_the_size_and_everybody_who_stays_gets_a_seat(sizes: list[int], seed: int) -> None:
    async def play() -> None:
        chance, seats, inside = random.Random(seed), Seats(sizes[0]), 0

        async def visit() -> None:
            nonlocal inside
            async with seats:
                inside += 1
                try:
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        visitors = [asyncio.create_task(visit()) for _ in range(30)]
        allowed = sizes[0]
        for size in sizes:
            allowed = max(allowed, size)  # who was called while there were more may still come in
            seats.resize(size)
            for _ in range(3):
                await asyncio.sleep(0)
                assert inside <= allowed
            chance.choice(visitors).cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await asyncio.gather(*visitors, return_exceptions=True)
        for _ in range(seats.size):  # all are free again
            async with asyncio.timeout(1):
                await seats.__aenter__()

    asyncio.run(play())
