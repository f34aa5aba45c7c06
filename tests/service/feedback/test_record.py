"""Record: deliveries become events once, events find their messages, and addresses are suppressed."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime

import msgspec
import pytest

from mailboat.delivery import query, record
from mailboat.delivery.record import Receipt, Receipts
from mailboat.webhooks.base import Forged


@pytest.fixture
async def receipts(pool):
    receipts = Receipts(pool)
    yield receipts
    await receipts.close()


@pytest.fixture
async def message(acceptor, draft_of, client, pool):
    """await message(**queue): a message of `client` to Ada that was sent by `sg`, its id."""
    numbers = itertools.count(1)

    async def make(**columns):
        accepted = await acceptor.accept(draft_of())
        values = {"state": 3, "provider": "sg", "provider_message_id": f"X{next(numbers)}"} | columns
        await pool.execute(
            "update queue set state = $2, provider = $3, provider_message_id = $4 where id = $1",
            accepted.id, values["state"], values["provider"], values["provider_message_id"],
        )  # fmt: skip
        return accepted.id

    return make


def fact(event="delivered", event_id="e1", **more):
    return {"event": event, "email": "ada@example.com", "sg_event_id": event_id, "timestamp": 1764580000} | more


def delivery(*facts, key=None, provider="sg", kind="sendgrid", digest=b""):
    body = msgspec.json.encode(list(facts))
    return Receipt(provider, kind, key or str(hash(body)), digest, body)


async def work(pool):
    """All that there is to do now."""
    while await record.read(pool) + await record.match(pool):
        pass


async def test_a_delivery_that_comes_many_times_is_kept_once(receipts, pool):
    again = [receipts.keep(delivery(fact(), key="k")) for _ in range(40)]
    others = [receipts.keep(delivery(fact(event_id=f"e{n}"), key=f"k{n}")) for n in range(40)]
    await asyncio.gather(*again, *others)
    await receipts.keep(delivery(fact(), key="k"))
    assert await pool.fetchval("select count(*) from webhook_receipts") == 41


async def test_a_key_that_comes_with_another_body_is_a_forgery(receipts):
    await receipts.keep(delivery(fact(), key="k", digest=b"one"))
    await receipts.keep(delivery(fact(), key="k", digest=b"one"))
    for provider in ("sg", "other"):
        with pytest.raises(Forged):
            await receipts.keep(delivery(fact("complained"), key="k", digest=b"two", provider=provider))
    together = [receipts.keep(delivery(fact(), key="j", digest=bytes([n]))) for n in range(5)]
    outcomes = await asyncio.gather(*together, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1


async def test_an_event_that_is_repeated_in_other_deliveries_is_one_event(receipts, pool):
    for n in range(3):
        await receipts.keep(delivery(fact(), fact(event_id=f"own{n}"), key=f"k{n}"))
    await work(pool)
    found = await pool.fetch("select event_id from events order by 1")
    assert [row[0] for row in found] == ["e1", "own0", "own1", "own2"]


async def test_events_without_an_id_are_told_apart_by_their_place(receipts, pool):
    for _ in range(2):
        await receipts.keep(delivery(fact(event_id=""), fact("open", event_id=""), key="k"))
        await work(pool)
    assert await pool.fetchval("select count(*) from events") == 2


async def test_an_event_finds_its_message_by_our_mark_and_else_by_the_providers_id(receipts, pool, message, client):
    marked, named = await message(), await message(provider_message_id="NAMED")
    await receipts.keep(delivery(fact(mailboat_id=str(marked)), fact(event_id="e2", sg_message_id="NAMED.filter1")))
    await work(pool)
    assert (await query.message(pool, client.id, marked))["status"] == "delivered"
    assert (await query.message(pool, client.id, named))["status"] == "delivered"


async def test_an_id_of_another_provider_means_nothing(receipts, pool, message, client):
    named = await message(provider_message_id="NAMED", provider="other")
    await receipts.keep(delivery(fact(sg_message_id="NAMED.filter1")))
    await work(pool)
    assert (await query.message(pool, client.id, named))["status"] == "sent"


async def test_a_provider_of_a_namespace_speaks_for_its_own_clients_only(receipts, pool, message, client):
    marked = await message(provider_message_id="NAMED")
    told = [fact("bounce", f"e{n}", type="bounce", mailboat_id=mark, sg_message_id="NAMED") for n, mark in
            enumerate((str(marked), "", None))]  # fmt: skip
    await receipts.keep(delivery(*told, provider="shop/sg"))
    await work(pool)
    found = await query.message(pool, client.id, marked)
    assert (found["status"], found["events"]) == ("sent", [])
    assert (await query.page(pool, client.id, query.Filter(status="bounced"), limit=9, cursor=None))["items"] == []
    assert await pool.fetchval("select count(*) from suppressions") == 0
    await pool.execute("update clients set namespace = 'shop'")
    await pool.execute("update events set look_at = now()")
    await work(pool)
    assert (await query.message(pool, client.id, marked))["status"] == "bounced"
    assert await pool.fetchval("select count(*) from events where client_id = $1", client.id) == 3


async def test_an_event_that_comes_before_the_booking_is_matched_after_it(receipts, pool, message, client):
    named = await message(state=2, provider=None, provider_message_id=None)
    await receipts.keep(delivery(fact("bounce", type="bounce", sg_message_id="EARLY.filter1")))
    await work(pool)
    assert await pool.fetchval("select look_at > now() from events")
    await pool.execute("update queue set state = 3, provider = 'sg', provider_message_id = 'EARLY'")
    await pool.execute("update events set look_at = now()")
    await work(pool)
    assert (await query.message(pool, client.id, named))["status"] == "bounced"
    assert await pool.fetchval("select address from suppressions where client_id = $1", client.id) == "ada@example.com"


async def test_an_event_of_a_message_that_nobody_knows_is_kept_and_after_days_not_looked_for(receipts, pool):
    await receipts.keep(delivery(fact(mailboat_id="01a20b42-0000-7000-8000-000000000001", sg_message_id="GONE")))
    await work(pool)
    assert await pool.fetchval("select look_at > now() and client_id is null from events")
    await pool.execute("update events set received_at = now() - interval '4 days', look_at = now()")
    await work(pool)
    assert await pool.fetchval("select look_at is null from events")


async def test_a_word_without_a_meaning_is_kept_as_it_came(receipts, pool, message, client):
    marked = await message()
    await receipts.keep(delivery(fact("teleported", mailboat_id=str(marked), where="\0 Mars")))
    await work(pool)
    row = await pool.fetchrow("select event, word, raw from events")
    assert (row["event"], row["word"]) == ("unknown", "teleported")
    assert msgspec.json.decode(row["raw"])["where"] == "\0 Mars"
    assert (await query.message(pool, client.id, marked))["status"] == "sent"


async def test_a_delivery_that_cannot_be_read_is_kept_and_holds_up_no_other(receipts, pool):
    await receipts.keep(Receipt("sg", "sendgrid", "bad", b"", b"{}"))
    await receipts.keep(Receipt("sg", "gone", "older", b"", b"{}"))
    await receipts.keep(delivery(fact()))
    await work(pool)
    assert await pool.fetchval("select count(*) from events") == 1
    faults = await pool.fetch("select key, fault, body from webhook_receipts where fault is not null order by key")
    assert [(row["key"], bytes(row["body"])) for row in faults] == [("bad", b"{}"), ("older", b"{}")]


async def test_events_that_the_database_refuses_hold_up_no_others(receipts, pool):
    await pool.execute("alter table events add constraint small check (recipient <> 'refused@example.com')")
    await receipts.keep(delivery(fact(email="refused@example.com"), key="bad"))
    await receipts.keep(delivery(fact(event_id="e2"), key="good"))
    await work(pool)
    assert await pool.fetchval("select count(*) from events") == 1
    assert "small" in await pool.fetchval("select fault from webhook_receipts where key = 'bad'")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
async def test_the_order_of_events_does_not_matter(receipts, pool, message, client, order):
    marked = await message()
    told = [
        fact("processed", "e1", mailboat_id=str(marked)),
        fact("delivered", "e2", mailboat_id=str(marked), response="250 OK"),
        fact("open", "e3", mailboat_id=str(marked), timestamp=1764589999),
        fact("spamreport", "e4", mailboat_id=str(marked)),
    ]
    seen = []
    for place in order:
        for _ in range(2):
            await receipts.keep(delivery(told[place]))
        await work(pool)
        seen.append((await query.message(pool, client.id, marked))["status"])
    assert seen[-1] == "complained"
    ranks = ["sent", "delivered", "complained"]
    assert [ranks.index(word) for word in seen] == sorted(ranks.index(word) for word in seen)


async def test_many_workers_read_and_match_without_getting_in_each_others_way(receipts, pool, message, client):
    ids = [await message() for _ in range(5)]
    for n in range(120):
        await receipts.keep(delivery(fact("bounce", f"e{n}", type="bounce", mailboat_id=str(ids[n % 5]))))
    await asyncio.gather(*(work(pool) for _ in range(4)))
    assert await pool.fetchval("select count(*) from events where client_id = $1", client.id) == 120
    assert await pool.fetchval("select count(*) from suppressions") == 1


async def test_the_detail_of_a_recipient_is_what_its_server_said_and_not_what_a_person_did(
    receipts, pool, message, client
):
    marked = str(await message())
    await receipts.keep(
        delivery(
            fact("delivered", "e1", mailboat_id=marked, response="250 2.0.0 OK"),
            fact("click", "e2", mailboat_id=marked, url="https://x.example", timestamp=1764589999),
        )
    )
    await work(pool)
    found = await query.message(pool, client.id, marked)
    assert found["recipients"][0]["detail"] == "250 2.0.0 OK"
    assert [event["event"] for event in found["events"]] == ["delivered", "clicked"]
    assert found["events"][0].keys() >= {"event", "recipient", "at", "provider"}


async def test_old_receipts_and_events_are_forgotten_and_waiting_ones_are_not(receipts, pool):
    await receipts.keep(delivery(fact(), key="read"))
    await work(pool)
    await receipts.keep(delivery(fact(), key="waiting"))
    await pool.execute("update webhook_receipts set received_at = now() - interval '30 days'")
    await pool.execute("update events set received_at = now() - interval '500 days'")
    await record.forget(pool, 400)
    assert [row[0] for row in await pool.fetch("select key from webhook_receipts")] == ["waiting"]
    assert await pool.fetchval("select count(*) from events") == 0


async def test_lists_are_narrowed_by_the_status_that_events_make(receipts, pool, message, client):
    ids = sorted([await message() for _ in range(30)])
    told = {0: "delivered", 1: "open", 2: "bounce", 3: "spamreport", 4: "dropped", 5: "deferred", 6: "processed"}
    for n, word in told.items():
        await receipts.keep(delivery(fact(word, f"e{n}", mailboat_id=str(ids[n]))))
    await work(pool)
    expected = {"delivered": [1, 0], "bounced": [2], "complained": [3], "rejected": [4], "deferred": [5], "failed": []}
    for status, places in expected.items():
        page = await query.page(pool, client.id, query.Filter(status=status), limit=20, cursor=None)
        assert [item["id"] for item in page["items"]] == [ids[n] for n in places], status
        assert {item["status"] for item in page["items"]} <= {status}
    found, cursor = [], None
    while True:
        page = await query.page(pool, client.id, query.Filter(status="sent"), limit=7, cursor=cursor)
        found += [item["id"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert found == [*reversed(ids[7:]), ids[6]]
    everything = await query.page(pool, client.id, query.Filter(), limit=100, cursor=None)
    assert len(everything["items"]) == 30


async def test_an_event_says_when_it_was_received_if_it_does_not_say_when_it_was(receipts, pool):
    await receipts.keep(delivery(fact(timestamp=None)))
    await work(pool)
    at = await pool.fetchval("select at from events")
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
