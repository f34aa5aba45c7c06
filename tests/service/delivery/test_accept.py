"""Accept: 202 means stored, everything else means not stored, whatever breaks in between."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailboat.db import partitions
from mailboat.db.states import Lane
from mailboat.delivery import accept, ring
from mailboat.delivery.accept import Accepted
from mailboat.errors import Problem

UNSTORABLE = {"tags": '{"a":"\\u0000"}'}


async def every(acceptors: Any, drafts: Any) -> list[Any]:
    """One answer per draft, spread over the acceptors; problems are answers too."""
    waits = [acceptors[n % len(acceptors)].accept(draft) for n, draft in enumerate(drafts)]
    return await asyncio.gather(*waits, return_exceptions=True)


def kinds(answers: Any) -> Counter[str]:
    return Counter("accepted" if isinstance(answer, Accepted) else answer.code for answer in answers)


async def stored(pool: Any) -> set[Any]:
    """Ids that are in, with a queue row each."""
    return {row[0] for row in await pool.fetch("select id from messages join queue using (id)")}


async def usage(pool: Any) -> int:
    return await pool.fetchval("select coalesce(sum(accepted), 0)::int from usage")


async def test_an_accepted_message_is_a_row_waits_in_the_queue_and_counts(acceptor, draft_of, pool):
    draft = draft_of(tags='{"flow":"checkout"}', lane=Lane.HIGH)
    assert await acceptor.accept(draft) == Accepted(draft.id, "queued")
    row = await pool.fetchrow("select * from messages join queue using (id)")
    assert (row["id"], row["lane"], row["state"], row["attempts"], row["tags"]) == (draft.id, 0, 1, 0, draft_tags(row))
    assert (row["envelope"], row["content"], row["traceparent"]) == (draft.envelope, draft.content, draft.traceparent)
    assert await usage(pool) == 1


def draft_tags(row: Any) -> str:
    assert row["tags"].replace(" ", "") == '{"flow":"checkout"}'
    return row["tags"]


async def test_a_message_for_later_is_scheduled_for_its_time(acceptor, draft_of, pool):
    at = datetime.now(UTC) + timedelta(hours=1)
    assert (await acceptor.accept(draft_of(run_at=at))).status == "scheduled"
    assert tuple(await pool.fetchrow("select state, run_at from queue")) == (0, at)


async def test_a_thousand_concurrent_requests_share_a_few_transactions(acceptor, draft_of, pool):
    answers = await every([acceptor], [draft_of() for _ in range(1000)])
    assert kinds(answers) == {"accepted": 1000}
    assert len(await stored(pool)) == await usage(pool) == 1000
    assert await pool.fetchval("select count(distinct xmin::text) from messages") <= 20


async def test_messages_for_now_are_rung_for_in_their_lane_and_those_for_later_are_not(
    acceptor, draft_of, redis, eventually
):
    later = datetime.now(UTC) + timedelta(hours=1)
    drafts = [draft_of(lane=Lane.HIGH), draft_of(lane=Lane.BULK), draft_of(lane=Lane.BULK, run_at=later)]
    await every([acceptor], drafts)

    async def rung() -> dict[Lane, list[Any]]:
        hints = {name: await redis.lrange(name, 0, -1) for name in ring.LANES}
        return {
            ring.LANES[name]: [i for hint in found for i in ring.unpack(hint)] for name, found in hints.items() if found
        }

    await eventually(lambda: _rung_in(redis, Lane.BULK))
    assert await rung() == {Lane.HIGH: [drafts[0].id], Lane.BULK: [drafts[1].id]}


async def _rung_in(redis: Any, lane: Lane) -> int:
    return sum([await redis.llen(name) for name in ring.KEYS[lane]])


# --- quota


async def test_a_quota_is_exact_however_many_processes_book_at_once(acceptor_of, draft_of, query, pool):
    query("update clients set quota_monthly = 100")
    answers = await every([acceptor_of() for _ in range(4)], [draft_of() for _ in range(400)])
    assert kinds(answers) == {"accepted": 100, "quota_exceeded": 300}
    assert len(await stored(pool)) == await usage(pool) == 100


async def test_a_batch_that_does_not_fit_is_accepted_as_far_as_the_quota_goes(acceptor, draft_of, query, pool):
    query("update clients set quota_monthly = 5")
    drafts = [draft_of() for _ in range(8)]
    answers = await acceptor.accept_each(drafts)
    assert [isinstance(answer, Accepted) for answer in answers] == [True] * 5 + [False] * 3
    assert await stored(pool) == {draft.id for draft in drafts[:5]}
    assert answers[5].code == "quota_exceeded"
    assert answers[5].status == 429
    assert 0 < int(answers[5].headers["Retry-After"]) <= 31 * 86400 + 1


async def test_an_empty_quota_of_one_client_leaves_the_others_in_its_batch_alone(
    acceptor, draft_of, new_client, query, pool
):
    other = new_client(quota_monthly=0)
    drafts = [draft_of(client_id=other.id) if n % 2 else draft_of() for n in range(6)]
    assert kinds(await every([acceptor], drafts)) == {"accepted": 3, "quota_exceeded": 3}
    assert await stored(pool) == {draft.id for draft in drafts[::2]}


async def test_a_batch_of_all_or_none_that_exceeds_the_quota_stores_and_books_nothing(acceptor, draft_of, query, pool):
    query("update clients set quota_monthly = 5")
    answers = await acceptor.accept_all([draft_of() for _ in range(6)])
    assert any(isinstance(answer, Problem) and answer.code == "quota_exceeded" for answer in answers)
    assert (await stored(pool), await usage(pool)) == (set(), 0)
    answers = await acceptor.accept_all([draft_of() for _ in range(5)])
    assert kinds(answers) == {"accepted": 5}
    assert len(await stored(pool)) == await usage(pool) == 5


async def test_a_new_month_has_a_new_quota(acceptor, draft_of, client, query, pool):
    query("update clients set quota_monthly = 1")
    query("insert into usage values ($1, date_trunc('month', now() - interval '32 days'), 1)", client.id)
    assert kinds(await every([acceptor], [draft_of(), draft_of()])) == {"accepted": 1, "quota_exceeded": 1}


# --- idempotency


def keyed(draft_of: Any, key: str = "order-1", body: bytes = b"body") -> Any:
    return draft_of(key=key, digest=body)


async def test_the_same_key_and_body_give_the_first_answer_again(acceptor, draft_of, pool):
    first = await acceptor.accept(keyed(draft_of))
    assert await acceptor.accept(keyed(draft_of)) == Accepted(first.id, "queued", repeated=True)
    assert (await stored(pool), await usage(pool)) == ({first.id}, 1)


async def test_the_same_key_with_another_body_is_refused(acceptor, draft_of, pool):
    first = await acceptor.accept(keyed(draft_of))
    with pytest.raises(Problem) as refused:
        await acceptor.accept(keyed(draft_of, body=b"another"))
    assert (refused.value.status, refused.value.code) == (409, "idempotency_key_reused")
    assert refused.value.field == "Idempotency-Key"
    assert (await stored(pool), await usage(pool)) == ({first.id}, 1)


async def test_two_clients_may_use_the_same_key(acceptor, draft_of, new_client, pool):
    other = new_client()
    await acceptor.accept(keyed(draft_of))
    assert not (await acceptor.accept(draft_of(client_id=other.id, key="order-1", digest=b"body"))).repeated
    assert len(await stored(pool)) == 2


async def test_one_key_used_at_once_in_many_processes_makes_one_message_and_costs_one(acceptor_of, draft_of, pool):
    acceptors = [acceptor_of() for _ in range(4)]
    answers = await every(acceptors, [keyed(draft_of, f"order-{n % 5}") for n in range(200)])
    assert kinds(answers) == {"accepted": 200}
    assert sum(not answer.repeated for answer in answers) == 5
    assert {answer.id for answer in answers} == await stored(pool)
    assert len(await stored(pool)) == await usage(pool) == 5


async def test_one_key_used_at_once_with_many_bodies_makes_one_message_and_refuses_the_others(
    acceptor_of, draft_of, pool
):
    acceptors = [acceptor_of() for _ in range(3)]
    answers = await every(acceptors, [keyed(draft_of, body=b"%d" % n) for n in range(30)])
    assert kinds(answers) == {"accepted": 1, "idempotency_key_reused": 29}
    assert len(await stored(pool)) == await usage(pool) == 1


async def test_a_repeat_in_the_same_batch_is_answered_like_any_other(acceptor, draft_of, pool):
    answers = await acceptor.accept_all([keyed(draft_of), keyed(draft_of), draft_of()])
    assert [answer.repeated for answer in answers] == [False, True, False]
    assert answers[0].id == answers[1].id
    drafts = [keyed(draft_of, "order-2"), keyed(draft_of, "order-2"), keyed(draft_of, "order-2", b"another")]
    assert kinds(await acceptor.accept_each(drafts)) == {"accepted": 2, "idempotency_key_reused": 1}
    assert len(await stored(pool)) == await usage(pool) == 3


async def test_a_known_key_is_answered_even_when_the_quota_is_used_up(acceptor, draft_of, query):
    query("update clients set quota_monthly = 1")
    first = await acceptor.accept(keyed(draft_of))
    assert await acceptor.accept(keyed(draft_of)) == Accepted(first.id, "queued", repeated=True)


async def test_repeats_are_not_charged_when_they_lose_the_race_next_to_others(acceptor_of, draft_of, client, pool):
    """Each batch has a raced key and mail without one: what was booked for the raced one is given back."""
    acceptors = [acceptor_of() for _ in range(4)]
    drafts = [keyed(draft_of, f"order-{n // 8}") if n % 2 else draft_of() for n in range(400)]
    answers = await every(acceptors, drafts)
    assert kinds(answers) == {"accepted": 400}
    assert len(await stored(pool)) == await usage(pool) == 200 + 50


# --- refusals


async def test_a_client_suspended_after_its_key_was_checked_is_refused(acceptor, draft_of, query, pool):
    query("update clients set suspended = true")
    with pytest.raises(Problem) as refused:
        await acceptor.accept(draft_of())
    assert (refused.value.status, refused.value.code) == (403, "client_suspended")
    assert (await stored(pool), await usage(pool)) == (set(), 0)


async def test_a_client_deleted_after_its_key_was_checked_is_refused(acceptor, draft_of, query, pool):
    query("delete from clients")
    assert kinds(await every([acceptor], [draft_of()])) == {"client_suspended": 1}
    assert await stored(pool) == set()


async def test_one_message_that_cannot_be_stored_does_not_harm_its_batch(acceptor, draft_of, pool):
    drafts = [draft_of(**UNSTORABLE) if n == 7 else draft_of() for n in range(20)]
    answers = await every([acceptor], drafts)
    assert kinds(answers) == {"accepted": 19, "unstorable": 1}
    assert answers[7].status == 422
    assert len(await stored(pool)) == await usage(pool) == 19


async def test_one_message_that_cannot_be_stored_stops_its_batch_of_all_or_none_and_is_named(acceptor, draft_of, pool):
    drafts = [draft_of(**UNSTORABLE) if n == 2 else draft_of() for n in range(5)]
    answers = await acceptor.accept_all(drafts)
    assert [getattr(answer, "code", "accepted") for answer in answers].index("unstorable") == 2
    assert kinds(answers)["unstorable"] == 1
    assert (await stored(pool), await usage(pool)) == (set(), 0)


async def test_more_than_can_be_stored_before_callers_give_up_is_turned_away(acceptor, draft_of, monkeypatch):
    monkeypatch.setattr(accept, "MOST_WAITING", -1)
    with pytest.raises(Problem) as refused:
        await acceptor.accept(draft_of())
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")


# --- what breaks


def drop_partitions(query: Any) -> None:
    month = datetime.now(UTC).date().replace(day=1)
    for table in partitions.PARTITIONED:
        query(f"drop table {partitions.name(table, month)}")


async def test_a_missing_partition_is_made_by_those_who_need_it(acceptor_of, draft_of, query, pool):
    drop_partitions(query)
    answers = await every([acceptor_of() for _ in range(3)], [draft_of() for _ in range(60)])
    assert kinds(answers) == {"accepted": 60}
    assert len(await stored(pool)) == await usage(pool) == 60


async def test_a_missing_partition_is_made_for_a_batch_of_all_or_none(acceptor, draft_of, query, pool):
    drop_partitions(query)
    assert kinds(await acceptor.accept_all([draft_of() for _ in range(3)])) == {"accepted": 3}
    assert len(await stored(pool)) == 3


async def test_postgres_away_is_503_and_nothing_is_stored_until_it_is_back(acceptor_of, draft_of, wire, pool):
    acceptor = acceptor_of(wire.dsn)
    wire.cut()
    with pytest.raises(Problem) as refused:
        await acceptor.accept(draft_of())
    assert (refused.value.status, refused.value.code) == (503, "unavailable")
    assert await stored(pool) == set()
    wire.mend()
    assert (await acceptor.accept(draft_of())).status == "queued"


@pytest.mark.parametrize("then_closed", [False, True], ids=["back at once", "away for a while"])
async def test_a_lost_answer_is_looked_up_when_postgres_is_back(acceptor_of, draft_of, wire, pool, then_closed):
    acceptor = acceptor_of(wire.dsn)
    await acceptor.start()
    wire.swallow(b"ada@example.com", then_closed=then_closed)
    draft = draft_of()
    answer = asyncio.ensure_future(acceptor.accept(draft))
    if then_closed:
        await asyncio.sleep(0.5)
        wire.mend()
    assert await answer == Accepted(draft.id, "queued")
    assert (await stored(pool), await usage(pool)) == ({draft.id}, 1)


async def test_a_lost_answer_to_a_batch_of_all_or_none_is_looked_up_too(acceptor_of, draft_of, wire, pool):
    acceptor = acceptor_of(wire.dsn)
    wire.swallow(b"COMMIT")
    drafts = [draft_of() for _ in range(3)]
    assert kinds(await acceptor.accept_all(drafts)) == {"accepted": 3}
    assert await stored(pool) == {draft.id for draft in drafts}


async def test_those_stored_before_the_connection_broke_are_told_so(acceptor_of, draft_of, wire, pool):
    """The repeats of a batch are looked up after its firsts were stored: what breaks there must not unsay them."""
    acceptor = acceptor_of(wire.dsn)
    await acceptor.start()
    wire.cut_at(b"join idempotency i")
    drafts = [keyed(draft_of), draft_of(), keyed(draft_of)]
    answers = await acceptor.accept_each(drafts)
    assert await stored(pool) == {answer.id for answer in answers if isinstance(answer, Accepted)}
    assert [isinstance(answer, Accepted) for answer in answers[:2]] == [True, True]


async def test_postgres_killed_under_load_never_makes_a_lie(own_postgres, acceptor_of, draft_of, client):
    """Whatever was answered 202 is stored, whatever was refused is not; through two crashes."""
    import asyncpg

    pool = await asyncpg.create_pool(own_postgres.dsn(), min_size=1, max_size=1)
    await pool.execute("insert into clients (id, name) values ($1, 'storefront')", client.id)
    await pool.close()
    acceptors = [acceptor_of(own_postgres.dsn()) for _ in range(2)]
    answers: dict[Any, Any] = {}
    stop = asyncio.Event()

    async def send(acceptor: Any) -> None:
        while not stop.is_set():
            draft = draft_of()
            try:
                answers[draft.id] = await acceptor.accept(draft)
            except Problem as problem:
                answers[draft.id] = problem
                await asyncio.sleep(0.005)

    senders = [asyncio.ensure_future(send(acceptors[n % 2])) for n in range(40)]
    for _ in range(2):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_postgres.stop, signal.SIGQUIT)
        await asyncio.to_thread(own_postgres.start)
    await asyncio.sleep(0.3)
    stop.set()
    await asyncio.gather(*senders)
    pool = await asyncpg.create_pool(own_postgres.dsn(), min_size=1, max_size=1)
    inside = await stored(pool)
    await pool.close()
    accepted = {identifier for identifier, answer in answers.items() if isinstance(answer, Accepted)}
    assert accepted == inside
    assert len(accepted) > 100
    assert {answer.code for answer in answers.values() if isinstance(answer, Problem)} <= {"unavailable"}
