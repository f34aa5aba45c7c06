"""A provider that says "too many" is asked less often, and then more again."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from mailboat.db.states import State
from mailboat.limits.pace import LONGEST_ASKED, Throttle, Turns


def _busy(throttle: Throttle, now: float, sends: int) -> None:
    for _ in range(sends):
        throttle.sent(now)


def test_a_provider_is_taken_at_its_word() -> None:
    throttle = Throttle()
    _busy(throttle, 10.0, 100)
    throttle.throttled(10.0, retry_after=30.0)
    assert throttle.wait(10.0) == 30.0
    assert throttle.wait(40.0) == 0.0
    throttle.sent(40.0)
    assert 0 < throttle.wait(40.0) < 0.1  # half of 100 a second, for a start


def test_a_single_refusal_slows_nothing_down() -> None:
    throttle = Throttle()
    _busy(throttle, 10.0, 100)
    throttle.throttled(10.1, retry_after=None)
    assert throttle.wait(10.1) == 0.0


def test_many_refusals_are_one_pause_and_the_next_is_longer() -> None:
    throttle = Throttle()
    _busy(throttle, 10.0, 20)
    for _ in range(20):
        throttle.throttled(10.5, retry_after=None)
    first = throttle.wait(10.5)
    assert 0 < first <= 1.5
    _busy(throttle, 12.0, 5)
    for _ in range(5):
        throttle.throttled(12.5, retry_after=None)
    assert throttle.wait(12.5) > first


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.none() | st.floats(0, 10_000)), max_size=100))
def test_mail_always_goes_on(acts: list[tuple[float, bool, float | None]]) -> None:
    throttle, now = Throttle(), 0.0
    for later, too_many, retry_after in acts:
        now += later
        now += throttle.wait(now)
        throttle.sent(now)
        if too_many:
            throttle.throttled(now, retry_after)
        assert throttle.wait(now) <= LONGEST_ASKED + 1


async def test_replicas_share_the_turns_of_a_provider(redis: Redis) -> None:
    replicas = [Turns(redis), Turns(redis)]
    waits = [await replicas[n % 2].take("ses", 0.1) for n in range(10)]
    gaps = [later - before for before, later in itertools.pairwise(waits)]
    assert waits[0] == 0.0
    assert all(8.0 < gap <= 10.001 for gap in gaps)  # ten seconds, less what passed between two questions
    assert await replicas[0].take("mailgun", 0.1) == 0.0


async def test_without_valkey_each_process_keeps_its_own_pace() -> None:
    assert await Turns(None).take("ses", 0.1) == 0.0


async def test_workers_share_how_many_may_be_at_a_provider_at_once(
    new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any, query: Any, eventually: Any
) -> None:
    at_once, most = 0, 0

    async def answer(_: Any) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1

    sink.on_body = answer
    workers = [start_role("worker", settings) for _ in range(2)]
    await eventually(lambda: all(worker.lines("ready") for worker in workers))
    declare("relay", sink)  # maxConcurrent is 4; both hear of it, and count each other
    await eventually(lambda: all(worker.lines("provider") for worker in workers))
    await send(new_client("shop", route=["relay"]), 60)
    await eventually(lambda: query("select count(*) from queue where state = $1", State.SENT)[0][0] == 60)
    assert 2 <= most <= 4
