"""Claim: a queued row becomes one worker's, counted, with all of its message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mailboat.db import engine
from mailboat.db.states import State
from mailboat.delivery.claim import Claimer
from mailboat.domain import identifier
from mailboat.domain.message import Content


@pytest.fixture
async def claimer_of(dsn: str) -> AsyncIterator[Any]:
    """claimer_of(owner): the claimer of a worker."""
    made: list[Claimer] = []

    def make(owner: int, place: str = dsn) -> Claimer:
        made.append(Claimer(place, owner))
        return made[-1]

    yield make
    for claimer in made:
        await claimer.close()


async def test_a_claimed_message_is_the_workers_with_its_attempt_counted(claimer_of, put, row):
    message_id = put(attempts=1)
    (claimed,) = await claimer_of(7).claim([message_id])
    assert (claimed.id, claimed.attempt, claimed.content) == (message_id, 2, Content("Ahoy", text="Hello"))
    assert [address.email for _, address in claimed.envelope.recipients] == ["ada@example.com"]
    found = row(message_id)
    assert (found["state"], found["owner"], found["attempts"]) == (State.SENDING, 7, 2)


@pytest.mark.parametrize("state", [state for state in State if state != State.QUEUED])
async def test_only_what_is_queued_can_be_claimed(state, claimer_of, put, row):
    message_id = put(state=state)
    assert await claimer_of(7).claim([message_id, identifier.new()]) == []
    assert (row(message_id)["state"], row(message_id)["attempts"]) == (state, 0)


async def test_two_workers_never_claim_the_same_message(claimer_of, put, query):
    ids = [put() for _ in range(60)]
    claimers = [claimer_of(owner) for owner in (1, 2, 3)]
    claims = await asyncio.gather(*(claimer.claim(ids) for claimer in claimers * 3))
    claimed = [one.id for claim in claims for one in claim]
    assert sorted(claimed) == sorted(ids)
    assert {tuple(found) for found in query("select state, attempts from queue")} == {(State.SENDING, 1)}


async def test_batches_that_come_together_each_get_their_own(claimer_of, put):
    batches = [[put() for _ in range(3)] for _ in range(5)]
    claimer = claimer_of(1)
    claims = await asyncio.gather(*(claimer.claim(batch) for batch in batches))
    assert [{one.id for one in claim} for claim in claims] == [set(batch) for batch in batches]


async def test_a_claim_while_postgres_is_away_says_so_and_the_next_one_works(claimer_of, put, wire):
    claimer = claimer_of(1, wire.dsn)
    message_id = put()
    wire.cut()
    with pytest.raises(engine.AWAY):
        await claimer.claim([message_id])
    wire.mend()
    assert [one.id for one in await claimer.claim([message_id])] == [message_id]
