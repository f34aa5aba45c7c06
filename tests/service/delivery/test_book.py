"""Book: a verdict is never lost, never counted twice, and never overrules another worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mailboat.db.states import State
from mailboat.delivery.book import Booker, Booking
from mailboat.domain.verdict import Fate, Verdict

ME, OTHER = 7, 8
SENT = Verdict("sent", "sent", "250 OK")
LATER = Verdict("scheduled", "retryable", "451 later", delay=60.0)
FAILED = Verdict("failed", "failed", "550 never")


@pytest.fixture
async def booker_of(dsn: str) -> AsyncIterator[Any]:
    made: list[Booker] = []

    def make(place: str = dsn, owner: int = ME) -> Booker:
        made.append(Booker(place, owner))
        return made[-1]

    yield make
    for booker in made:
        await booker.close()


@pytest.fixture
async def booker(booker_of: Any) -> Booker:
    return booker_of()


@pytest.fixture
def mine(put: Any) -> Any:
    """mine(**columns): a message that this worker has in hand, at its first attempt."""
    return lambda **columns: put(**({"state": State.SENDING, "owner": ME, "attempts": 1} | columns))


def booking(message_id: Any, verdict: Verdict, attempt: int = 1, **changes: Any) -> Booking:
    values = {"provider": "smtp", "provider_message_id": None, "started_at": datetime.now(UTC), "seconds": 0.25}
    return Booking(id=message_id, attempt=attempt, verdict=verdict, **(values | changes))


def attempts(query: Any, message_id: Any) -> list[tuple[Any, ...]]:
    rows = query("select number, provider, outcome, detail from attempts where message_id = $1 order by 1", message_id)
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("verdict", "state", "error"),
    [
        (SENT, State.SENT, None),
        (LATER, State.SCHEDULED, "451 later"),
        (FAILED, State.FAILED, "550 never"),
        (Verdict("dead", "retryable", "451 later"), State.DEAD, "451 later"),
        (Verdict("held", "uncertain", "cut"), State.HELD, "cut"),
    ],
)
async def test_a_verdict_ends_an_attempt(verdict, state, error, booker, mine, row, query):
    message_id = mine()
    await booker.book(booking(message_id, verdict, provider_message_id="<1@x>"))
    found = row(message_id)
    assert (found["state"], found["owner"], found["provider"], found["error"]) == (state, None, "smtp", error)
    assert found["provider_message_id"] == "<1@x>"
    assert attempts(query, message_id) == [(1, "smtp", verdict.outcome, verdict.detail)]


async def test_a_message_for_later_is_due_after_its_delay(booker, mine, query):
    message_id = mine()
    await booker.book(booking(message_id, LATER))
    ((wait,),) = query("select extract(epoch from run_at - now())::float from queue where id = $1", message_id)
    assert 50 < wait <= 60


async def test_how_recipients_fared_is_kept(booker, mine, query):
    message_id = mine()
    fates = {"a@b.c": Fate("sent", "250"), "d@e.f": Fate("deferred", "451")}
    await booker.book(booking(message_id, Verdict("scheduled", "retryable", "250", 1.0, fates)))
    ((kept,),) = query("select recipients -> 'd@e.f' ->> 'status' from attempts where message_id = $1", message_id)
    assert kept == "deferred"


@pytest.mark.parametrize("changes", [{"owner": OTHER}, {"attempts": 2}, {"owner": OTHER, "attempts": 2}])
@pytest.mark.parametrize("verdict", [SENT, LATER, FAILED])
async def test_a_late_verdict_changes_nothing_that_another_has_in_hand_but_is_kept_as_an_attempt(
    changes, verdict, booker, mine, row, query
):
    message_id = mine(**changes)
    before = tuple(row(message_id))
    await booker.book(booking(message_id, verdict))
    assert tuple(row(message_id)) == before
    assert attempts(query, message_id) == [(1, "smtp", verdict.outcome, verdict.detail)]


async def test_a_late_verdict_replaces_the_word_of_who_did_not_know(booker, put, query):
    message_id = put(state=State.SENDING, owner=OTHER, attempts=2)
    query("insert into attempts (message_id, number, outcome, detail) values ($1, 1, 'abandoned', '?')", message_id)
    await booker.book(booking(message_id, FAILED))
    assert attempts(query, message_id) == [(1, "smtp", "failed", "550 never")]


@pytest.mark.parametrize("state", [State.QUEUED, State.SCHEDULED, State.DEAD, State.HELD])
async def test_late_news_that_it_was_sent_settles_what_nobody_has_in_hand(state, booker, put, row):
    message_id = put(state=state, attempts=1)
    await booker.book(booking(message_id, SENT))
    assert row(message_id)["state"] == State.SENT


@pytest.mark.parametrize("state", [State.SENT, State.CANCELLED, State.FAILED])
async def test_what_is_settled_stays_settled(state, booker, put, row):
    message_id = put(state=state, attempts=1)
    await booker.book(booking(message_id, LATER))
    assert row(message_id)["state"] == state


async def test_many_verdicts_at_once_are_all_booked(booker, mine, query):
    ids = [mine() for _ in range(150)]
    await asyncio.gather(*(booker.book(booking(message_id, SENT)) for message_id in ids))
    assert query("select count(*) from queue where state = 3 and owner is null")[0][0] == 150
    assert query("select count(*), count(distinct xmin::text) < 20 from attempts")[0] == (150, True)


@pytest.mark.parametrize("word", ["a\0b", "\ud800", "x" * 100_000], ids=["NUL", "half a surrogate pair", "endless"])
async def test_no_word_of_a_provider_holds_a_verdict_up(word, booker, mine, row, query):
    ids = [mine() for _ in range(3)]
    strange = Verdict("scheduled", "retryable", word, 1.0, {"a@b.c": Fate("deferred", word)})
    await asyncio.gather(
        booker.book(booking(ids[0], SENT)),
        booker.book(booking(ids[1], strange, provider_message_id=word)),
        booker.book(booking(ids[2], FAILED)),
    )
    assert [row(one)["state"] for one in ids] == [State.SENT, State.SCHEDULED, State.FAILED]
    assert len(attempts(query, ids[1])[0][3]) <= 2000
    assert booker.healthy.is_set()


async def test_while_postgres_is_away_a_verdict_waits_and_nobody_claims_and_then_it_is_booked_once(
    booker_of, mine, row, query, wire, eventually
):
    booker, message_id = booker_of(wire.dsn), mine()
    wire.cut()
    booked = asyncio.ensure_future(booker.book(booking(message_id, SENT)))
    await eventually(lambda: not booker.healthy.is_set())
    assert row(message_id)["state"] == State.SENDING
    wire.mend()
    await booked
    assert row(message_id)["state"] == State.SENT
    assert attempts(query, message_id) == [(1, "smtp", "sent", "250 OK")]
    assert booker.healthy.is_set()


async def test_a_verdict_whose_answer_was_lost_is_booked_once(booker_of, mine, row, query, wire):
    booker, (first, second) = booker_of(wire.dsn), (mine(), mine())
    await booker.book(booking(first, SENT))  # the statement is prepared now
    wire.swallow(second.bytes)
    await booker.book(booking(second, LATER))
    found = row(second)
    assert (found["state"], found["attempts"]) == (State.SCHEDULED, 1)
    assert attempts(query, second) == [(1, "smtp", "retryable", "451 later")]
