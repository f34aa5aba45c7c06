"""The lease: a worker that fell silent sends nothing that others may have by now."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mailboat.db import engine
from mailboat.worker import owner as module
from mailboat.worker.owner import Owner, Watch

LEASE = 10.0


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
async def owner(pool: Any, clock: Clock) -> Owner:
    return await Owner.register(pool, "me", 0.01, LEASE)


async def beats(owner: Owner) -> None:
    """One heartbeat that is answered, at least."""
    answered = asyncio.Event()
    beat = owner._beat
    owner._beat = lambda at: (beat(at), answered.set())  # type: ignore[method-assign,assignment,func-returns-value]
    beating = asyncio.ensure_future(owner.beat())
    await answered.wait()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    del owner._beat


async def test_every_life_is_a_row_of_its_own(owner, pool):
    again = await Owner.register(pool, "me", 1.0, LEASE)
    assert again.id > owner.id
    assert [tuple(row) for row in await pool.fetch("select id, name from workers order by id")] == [
        (owner.id, "me"),
        (again.id, "me"),
    ]


async def test_half_a_lease_of_silence_stops_sends_until_the_next_heartbeat(owner, clock):
    assert owner.may_send(owner.term)
    clock.now += LEASE / 2 - 0.1
    assert owner.may_send(owner.term)
    clock.now += 0.1
    assert not owner.may_send(owner.term)
    await beats(owner)
    assert owner.may_send(owner.term)
    assert owner.term == 0


async def test_what_was_claimed_before_a_whole_lease_of_silence_is_never_sent(owner, clock):
    claimed_in = owner.term
    clock.now += LEASE
    await beats(owner)
    assert not owner.may_send(claimed_in)
    assert owner.may_send(owner.term)


async def test_nobody_is_declared_dead_until_postgres_has_answered_for_a_lease(owner, clock):
    assert not owner.may_take_over
    clock.now += LEASE / 3
    await beats(owner)
    clock.now += LEASE / 3
    await beats(owner)
    clock.now += LEASE / 3 + 0.1
    assert owner.may_take_over
    clock.now += LEASE
    await beats(owner)
    assert not owner.may_take_over


async def test_a_stopping_worker_starts_no_send(owner):
    owner.stop_sending()
    assert not owner.may_send(owner.term)


async def test_a_heartbeat_revives_a_row_that_housekeeping_took_away(owner, pool, eventually):
    await pool.execute("delete from workers")
    beating = asyncio.ensure_future(owner.beat())
    await eventually(lambda: pool.fetchval("select true from workers where id = $1", owner.id))
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def test_a_heartbeat_survives_postgres(own_postgres, eventually):
    pool = await engine.pool(own_postgres.dsn(), name="test", size=2)
    owner = await Owner.register(pool, "me", 0.01, LEASE)
    beating = asyncio.ensure_future(owner.beat())
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_postgres.start)
    silent_since = owner._beaten_at
    await eventually(lambda: owner._beaten_at > silent_since)
    assert not beating.done()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await pool.close()


def test_a_heart_stands_still_after_a_lease_without_a_beat_however_the_beats_are_dated() -> None:
    now = 0.0
    watch = Watch(10.0, lambda: now)
    first, past, future = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2020, 2030))
    assert watch.still({1: first, 2: first, 3: first}) == {}
    now = 9.0
    assert watch.still({1: first, 2: past, 3: future}) == {}
    now = 10.0
    assert watch.still({1: first, 2: past, 3: future}) == {1: first}
    now = 19.0
    assert watch.still({1: past, 2: past}) == {2: past}
    now = 30.0
    assert watch.still({3: future}) == {}  # it was away, and is seen for the first time
