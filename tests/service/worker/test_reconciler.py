"""The reconciler: what is due, forgotten, orphaned or unsent goes on, and nothing else is touched."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from mailboat.db import statements
from mailboat.db.states import Lane, State
from mailboat.delivery import ring
from mailboat.worker import reconciler as module
from mailboat.worker.owner import Owner, Watch
from mailboat.worker.reconciler import Reconciler

ATTEMPTS = 3
LEASE = 10.0


class Here:
    """A reconciler of a worker in this process, and what it has in its hands."""

    def __init__(self, pool: Any, redis: Any, owner: Owner) -> None:
        self.owner, self.work = owner, SimpleNamespace(holding={}, unsent=set())
        self.clock = 0.0
        watch = Watch(LEASE, lambda: self.clock)
        self.reconciler = Reconciler(
            pool=pool, redis=redis, owner=owner, attempts=ATTEMPTS, watch=watch, work=self.work
        )
        self.tick = self.reconciler.tick

    async def after(self, seconds: float) -> None:
        """So much later, by our own clock."""
        await self.reconciler.look_after_others()
        self.clock += seconds


@pytest.fixture
async def here(pool: Any, redis: Any, monkeypatch: pytest.MonkeyPatch) -> Here:
    owner = await Owner.register(pool, "me", 1.0, LEASE)
    monkeypatch.setattr(Owner, "may_take_over", property(lambda _: True))
    return Here(pool, redis, owner)


@pytest.fixture
def rung(redis: Any) -> Any:
    """await rung(): the ids that somebody rang for, taken from the doorbell."""

    async def rung() -> set[UUID]:
        ids: list[UUID] = []
        for name in ring.LANES:
            while hints := await redis.lpop(name, 100):
                ids += itertools.chain.from_iterable(map(ring.unpack, hints))
        assert len(ids) == len(set(ids))
        return set(ids)

    return rung


def attempts_of(query: Any, message_id: UUID) -> list[tuple[int, str]]:
    return [
        tuple(row)
        for row in query("select number, outcome from attempts where message_id = $1 order by number", message_id)
    ]


async def test_what_is_due_is_released_and_rung_for_and_what_is_not_waits(here, put, row, rung):
    now = datetime.now(UTC)
    due = [put(state=State.SCHEDULED, lane=lane, run_at=now - timedelta(seconds=1)) for lane in Lane]
    later = put(state=State.SCHEDULED, run_at=now + timedelta(hours=1))
    await here.tick()
    assert await rung() == set(due)
    assert {row(one)["state"] for one in due} == {State.QUEUED}
    assert row(later)["state"] == State.SCHEDULED


async def test_a_lost_hint_is_rung_for_again_when_the_lane_is_silent(here, put, rung):
    forgotten, fresh = put(age=60), put(age=0)
    await here.tick()
    assert await rung() == {forgotten}
    assert fresh not in await rung()
    await here.tick()
    assert await rung() == set()  # it was touched: nobody rings twice a second for the same row


async def test_a_lane_in_which_hints_wait_is_left_to_them(here, put, redis, rung):
    await redis.rpush(ring.key(Lane.NORMAL, 7), bytes(16))
    put(age=60, lane=Lane.NORMAL)
    bulk = put(age=60, lane=Lane.BULK)
    await here.tick()
    assert await rung() == {bulk, UUID(int=0)}


async def test_mail_of_a_dead_worker_goes_on_with_its_attempt_on_record(here, put, row, rung, query, worker_row):
    dead, gone = worker_row("dead"), 999
    orphans = [put(state=State.SENDING, owner=owner, attempts=1) for owner in (dead, gone)]
    await here.after(LEASE)
    await here.tick()
    assert await rung() == set(orphans)
    for one in orphans:
        assert (row(one)["state"], row(one)["owner"], row(one)["attempts"]) == (State.QUEUED, None, 1)
        assert attempts_of(query, one) == [(1, "abandoned")]


@pytest.mark.parametrize("seconds", [LEASE - 1, LEASE])
async def test_mail_of_a_living_worker_is_left_alone(seconds, here, put, row, query, worker_row):
    living = worker_row("living")
    message_id = put(state=State.SENDING, owner=living, attempts=1, age=60)
    await here.after(seconds)
    if seconds >= LEASE:
        query("update workers set heartbeat_at = now() where id = $1", living)
    await here.tick()
    assert (row(message_id)["state"], row(message_id)["owner"]) == (State.SENDING, living)


async def test_a_worker_that_beats_while_it_is_taken_for_dead_is_left_alone(here, put, row, query, worker_row):
    dead = worker_row("dead")
    message_id = put(state=State.SENDING, owner=dead, attempts=1)
    await here.after(LEASE)
    still = await here.reconciler.look_after_others()
    assert dead in still
    query("update workers set heartbeat_at = now() where id = $1", dead)
    await here.reconciler._take_over(statements.TAKE_OVER_DEAD, list(still), list(still.values()))
    assert row(message_id)["state"] == State.SENDING


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
async def test_a_step_of_postgres_s_clock_kills_nobody_and_saves_nobody(step, here, put, row, query, worker_row):
    """After a step forward every heartbeat is old, after one back it lies ahead: neither says who lives."""
    living, dead = worker_row("living"), worker_row("dead")
    mails = [put(state=State.SENDING, owner=owner, attempts=1) for owner in (living, dead)]
    query("update workers set heartbeat_at = heartbeat_at - $1::interval where id = any($2)", step, [living, dead])
    await here.tick()
    assert [row(mail)["state"] for mail in mails] == [State.SENDING, State.SENDING]
    await here.after(LEASE)
    query("update workers set heartbeat_at = now() where id = $1", living)
    await here.tick()
    assert [row(mail)["state"] for mail in mails] == [State.SENDING, State.QUEUED]


async def test_a_clock_that_is_set_back_delays_no_retry_and_moves_no_date(here, put, row):
    """Each was due in 30 seconds when the clock was set back by an hour."""
    due, ahead = datetime.now(UTC) + timedelta(seconds=3630), -3600
    retried = put(state=State.SCHEDULED, run_at=due, attempts=1, age=ahead)
    postponed = put(state=State.SCHEDULED, run_at=due, error="no provider may be asked now", age=ahead)
    dated = put(state=State.SCHEDULED, run_at=due, age=ahead)
    await here.tick()
    assert row(retried)["run_at"] == due  # nothing was seen to happen to the clock
    here.reconciler._clocks = (datetime.now(UTC) + timedelta(hours=1), here.reconciler._clocks[1])
    await here.tick()
    for one in (retried, postponed):
        assert 0 < (row(one)["run_at"] - datetime.now(UTC)).total_seconds() < 60
    assert row(dated)["run_at"] == due


async def test_what_was_touched_before_the_clock_was_set_back_is_not_forgotten(here, put, row, rung):
    """Its hint was lost, or its claim's answer was."""
    queued = put(age=-3600)
    claimed = put(state=State.SENDING, owner=here.owner.id, attempts=1, age=-3600)
    await here.tick()
    assert await rung() == {queued, claimed}
    assert row(claimed)["state"] == State.QUEUED


async def test_nobody_is_taken_for_dead_before_postgres_has_answered_us_for_a_lease(pool, redis, put, row, worker_row):
    owner = await Owner.register(pool, "me", 1.0, LEASE)
    here = Here(pool, redis, owner)
    message_id = put(state=State.SENDING, owner=worker_row("dead"), attempts=1)
    await here.after(LEASE)
    await here.tick()
    assert row(message_id)["state"] == State.SENDING


@pytest.mark.parametrize(
    ("columns", "attempts", "state"),
    [
        ({}, 1, State.QUEUED),
        ({}, ATTEMPTS, State.DEAD),
        ({"retry_attempts": ATTEMPTS + 1}, ATTEMPTS, State.QUEUED),
        ({"retry_attempts": 1}, 1, State.DEAD),
        ({"on_uncertain": "hold"}, 1, State.HELD),
        ({"on_uncertain": "hold"}, ATTEMPTS, State.HELD),
    ],
)
async def test_an_orphan_ends_as_its_client_wants_it(
    columns, attempts, state, here, put, row, rung, query, new_client, worker_row
):
    client = new_client(**columns)
    dead = worker_row("dead")
    message_id = put(state=State.SENDING, owner=dead, attempts=attempts, client_id=client.id)
    await here.after(LEASE)
    await here.tick()
    found = row(message_id)
    assert found["state"] == state
    assert await rung() == ({message_id} if state == State.QUEUED else set())
    assert (found["error"] is None) == (state == State.QUEUED)
    assert attempts_of(query, message_id) == [(attempts, "abandoned")]


async def test_attempts_before_a_replay_do_not_count(here, put, row, worker_row):
    dead = worker_row("dead")
    message_id = put(state=State.SENDING, owner=dead, attempts=ATTEMPTS + 1, forgiven=ATTEMPTS)
    await here.after(LEASE)
    await here.tick()
    assert row(message_id)["state"] == State.QUEUED


async def test_two_reconcilers_take_over_each_row_once(pool, redis, here, put, rung, query, worker_row):
    dead = worker_row("dead")
    orphans = {put(state=State.SENDING, owner=dead, attempts=1) for _ in range(50)}
    other = Here(pool, redis, await Owner.register(pool, "other", 1.0, LEASE))
    for one in (here, other):
        await one.after(LEASE)
    await asyncio.gather(*(one.tick() for one in (here, other) * 3))
    assert await rung() == orphans
    assert query("select count(*) from attempts")[0][0] == 50


async def test_a_restart_under_the_same_name_goes_on_at_once(here, put, row, rung, worker_row):
    earlier, other = worker_row("me"), worker_row("other")
    mine = put(state=State.SENDING, owner=earlier, attempts=1)
    theirs = put(state=State.SENDING, owner=other, attempts=1)
    await here.reconciler.start()
    assert await rung() == {mine}
    assert (row(mine)["state"], row(theirs)["state"]) == (State.QUEUED, State.SENDING)


async def test_what_was_claimed_and_certainly_not_sent_is_given_back_as_if_never_claimed(here, put, row, rung, query):
    message_id = put(state=State.SENDING, owner=here.owner.id, attempts=2)
    here.work.unsent.add(message_id)
    await here.tick()
    assert (row(message_id)["state"], row(message_id)["attempts"]) == (State.QUEUED, 1)
    assert await rung() == {message_id}
    assert attempts_of(query, message_id) == []
    assert here.work.unsent == set()


async def test_what_is_in_hand_stays_there(here, put, row):
    held = put(state=State.SENDING, owner=here.owner.id, attempts=1, age=60)
    here.work.holding[held] = 0
    here.work.unsent.add(held)  # by an earlier delivery of the same row, which has it again
    await here.tick()
    assert (row(held)["state"], row(held)["attempts"]) == (State.SENDING, 1)


async def test_a_claim_whose_answer_was_lost_is_taken_over_from_oneself(here, put, row, rung):
    message_id = put(state=State.SENDING, owner=here.owner.id, attempts=1, age=1)
    await here.tick()
    assert row(message_id)["state"] == State.QUEUED
    assert await rung() == {message_id}


async def test_a_tick_without_valkey_does_all_but_ring(pool, here, put, row, own_valkey, worker_row):
    from mailboat.db import valkey

    redis = valkey.client(own_valkey.url())
    await asyncio.to_thread(own_valkey.stop)
    alone = Here(pool, redis, here.owner)
    due = put(state=State.SCHEDULED, run_at=datetime.now(UTC))
    orphan = put(state=State.SENDING, owner=worker_row("dead"), attempts=1)
    await alone.after(LEASE)
    await alone.tick()
    assert (row(due)["state"], row(orphan)["state"]) == (State.QUEUED, State.QUEUED)
    await redis.aclose()


async def test_it_goes_on_when_postgres_was_away(own_postgres, redis, monkeypatch, eventually):
    from mailboat.db import engine

    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    pool = await engine.pool(own_postgres.dsn(), name="test", size=2)
    here = Here(pool, redis, await Owner.register(pool, "me", 1.0, LEASE))
    running = asyncio.ensure_future(here.reconciler.run())
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_postgres.start)
    await pool.execute("insert into queue (id, client_id, lane, state) values (gen_random_uuid(), 1, 1, 0)")
    await eventually(lambda: pool.fetchval("select true from queue where state = 1"))
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await pool.close()
