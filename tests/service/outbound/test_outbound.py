"""Facts on their way to a client's URLs: signed, at least once, and logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from mailboat.db.states import State
from mailboat.delivery import outbound, record
from mailboat.delivery.endpoints import Endpoints
from mailboat.delivery.outbound import DELAYS, DELIVERED, GIVEN_UP, PAUSED, next_delay
from mailboat.errors import Problem


async def test_standard_webhooks_own_library_accepts_our_signature(
    endpoints: Endpoints, receiver: Any, tell: Any
) -> None:
    made = await endpoints.add(receiver.url, [])
    row = await tell(made["id"])
    told = receiver.told[0]
    assert Webhook(made["secret"]).verify(told.body, told.headers)["type"] == "test"
    assert told.headers["webhook-id"] == str(row["id"])
    with pytest.raises(WebhookVerificationError):
        Webhook(outbound.new_secret()).verify(told.body, told.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(told.body + b" ", told.headers)


async def test_while_a_secret_is_rotated_both_sign(
    endpoints: Endpoints, receiver: Any, tell: Any, pool: asyncpg.Pool
) -> None:
    made = await endpoints.add(receiver.url, [])
    new = await endpoints.rotate(made["id"], 3600)
    await tell(made["id"])
    for secret in (made["secret"], new["secret"]):
        Webhook(secret).verify(receiver.told[0].body, receiver.told[0].headers)
    await pool.execute("update webhook_endpoints set old_secret_until = now()")
    await tell(made["id"])
    Webhook(new["secret"]).verify(receiver.told[1].body, receiver.told[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(receiver.told[1].body, receiver.told[1].headers)


async def test_what_is_not_taken_is_told_again_with_the_same_id(
    endpoints: Endpoints, receiver: Any, tell: Any, reply: Callable[..., bytes]
) -> None:
    made = await endpoints.add(receiver.url, [])
    receiver.answer = lambda _: reply(500, b"no") if len(receiver.told) < 3 else reply(200)
    row = await tell(made["id"], times=3)
    assert (row["state"], row["attempts"]) == (DELIVERED, 3)
    assert len({told.headers["webhook-id"] for told in receiver.told}) == 1
    tries = (await endpoints.log(made["id"], state=None, limit=10, cursor=None))["items"][0]["tries"]
    assert [one["status"] for one in tries] == [500, 500, 200]
    assert tries[0]["detail"] == "answered 500: no"


@pytest.mark.parametrize(
    "wait", ["soon", "-5", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2026 0:0:0 +9999999999999"]
)
async def test_a_retry_after_that_means_nothing_is_no_reason_to_forget_the_try(
    wait: str, endpoints: Endpoints, receiver: Any, tell: Any, reply: Any
) -> None:
    added = await endpoints.add(receiver.url, [])
    receiver.answer = lambda _: reply(503, retry_after=wait)
    row = await tell(added["id"])
    assert (row["state"], row["attempts"], row["owner"]) == (outbound.WAITS, 1, None)
    assert [one["status"] for one in json.loads(row["tries"])] == [503]


async def test_after_three_days_it_is_given_up_and_can_be_replayed(
    endpoints: Endpoints, receiver: Any, tell: Any, reply: Callable[..., bytes], outbound_of: Any
) -> None:
    made = await endpoints.add(receiver.url, [])
    receiver.answer = lambda _: reply(302, location="http://127.0.0.1/")
    row = await tell(made["id"], times=len(DELAYS) + 1)
    assert row["state"] == GIVEN_UP
    receiver.answer = lambda _: reply(200)
    assert await endpoints.replay(made["id"], None) == 1
    part = await outbound_of()
    await part.take()
    await part.settled()
    assert (await endpoints.log(made["id"], state="delivered", limit=1, cursor=None))["items"][0]["id"] == row["id"]


async def test_an_endpoint_that_is_gone_is_paused_and_resumed_with_what_waited(
    endpoints: Endpoints, receiver: Any, tell: Any, reply: Callable[..., bytes], outbound_of: Any, pool: asyncpg.Pool
) -> None:
    made = await endpoints.add(receiver.url, [])
    receiver.answer = lambda _: reply(410)
    row = await tell(made["id"])
    assert row["state"] == PAUSED
    assert (await endpoints.get(made["id"]))["state"] == "paused"
    with pytest.raises(Problem, match="resume"):
        await endpoints.test(made["id"])
    receiver.answer = lambda _: reply(200)
    assert (await endpoints.resume(made["id"]))["failures"] == 0
    part = await outbound_of()
    assert await part.take() == 1
    await part.settled()
    assert await pool.fetchval("select state from webhook_deliveries") == DELIVERED


async def test_one_that_fails_for_long_is_paused(
    endpoints: Endpoints, receiver: Any, tell: Any, reply: Callable[..., bytes], pool: asyncpg.Pool
) -> None:
    made = await endpoints.add(receiver.url, [])
    receiver.answer = lambda _: reply(500)
    failing = "update webhook_endpoints set failures = $1, failing_since = now() - $2 * interval '1 second'"
    await pool.execute(failing, outbound.PAUSE_FAILURES, outbound.PAUSE_SECONDS - 60)
    await tell(made["id"])
    assert (await endpoints.get(made["id"]))["state"] == "active"  # many failures, but not for long
    await pool.execute(failing, outbound.PAUSE_FAILURES, outbound.PAUSE_SECONDS + 1)
    row = await tell(made["id"])
    assert row["state"] == PAUSED
    assert (await endpoints.get(made["id"]))["paused_reason"] == "answered 500: "


async def test_what_a_dead_worker_had_is_told_by_another(
    endpoints: Endpoints, receiver: Any, outbound_of: Any, pool: asyncpg.Pool, eventually: Any
) -> None:
    made = await endpoints.add(receiver.url, [])
    await outbound.tell_test(pool, made["id"])
    await pool.execute("update webhook_deliveries set state = 2, owner = 4711, attempts = 1")
    part = await outbound_of()
    work = asyncio.create_task(part.work())
    await eventually(lambda: receiver.told)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert len(receiver.told) == 1


async def test_a_slow_endpoint_takes_only_its_share(
    endpoints: Endpoints, receiver: Any, outbound_of: Any, pool: asyncpg.Pool, new_client: Any
) -> None:
    made = await endpoints.add(receiver.url, [])
    for _ in range(30):
        await outbound.tell_test(pool, made["id"])
    assert await (await outbound_of()).take() == outbound.PER_ENDPOINT


@given(st.integers(1, 20), st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_the_wait_grows_and_ends(attempt: int, wait: float, chance: float) -> None:
    delay = next_delay(attempt, wait, chance)
    assert (delay is None) == (attempt > len(DELAYS))
    if delay is not None:
        assert delay >= 0.9 * DELAYS[attempt - 1]
        assert delay <= max(1.1 * DELAYS[attempt - 1], 86400)


def test_the_waits_are_three_days_in_all() -> None:
    assert 2.9 * 86400 < sum(DELAYS) < 3.1 * 86400


async def test_a_mail_that_was_sent_and_what_its_provider_reports_are_told(
    endpoints: Endpoints, receiver: Any, client: Any, acceptor: Any, draft_of: Any, start_role: Any, settings_of: Any,
    sink: Any, sealing_key: str, pool: asyncpg.Pool, eventually: Any,
) -> None:  # fmt: skip
    made = await endpoints.add(receiver.url, ["sent", "failed", "bounced"])
    draft = draft_of(tags='{"flow": "checkout"}', metadata='{"order": "\\u0000 odd"}')
    await acceptor.accept(draft)
    start_role("worker", settings_of(smtp_url=sink.url, sealing_key=sealing_key, egress_allow="127.0.0.0/8"))
    await eventually(lambda: receiver.told)
    Webhook(made["secret"]).verify(receiver.told[0].body, receiver.told[0].headers)
    body = json.loads(receiver.told[0].body)
    assert (body["type"], body["data"]["message_id"], body["data"]["provider"]) == ("sent", str(draft.id), "smtp")
    assert body["data"]["tags"] == {"flow": "checkout"}
    assert body["data"]["metadata"] == {"order": "\0 odd"}
    await pool.execute(
        """insert into events (provider, event_id, recipient, event, bounce, word, reason, message_id,
        provider_message_id, at) select 'smtp', e, 'ada@example.com', e, 'hard', e, '550 no', $1, '', now()
        from unnest('{bounced,opened}'::text[]) as e""",
        draft.id,
    )
    await eventually(lambda: len(receiver.told) == 2)
    body = json.loads(receiver.told[1].body)
    assert (body["type"], body["data"]["recipient"], body["data"]["bounce"]) == ("bounced", "ada@example.com", "hard")
    rows = await pool.fetch("select event from webhook_deliveries")
    assert sorted(row["event"] for row in rows) == ["bounced", "sent"]  # nobody wants to hear of opened


async def test_who_wants_everything_hears_of_what_has_a_word_and_of_nothing_else(
    endpoints: Endpoints, receiver: Any, acceptor: Any, draft_of: Any, pool: asyncpg.Pool
) -> None:
    """A provider's "I have it" is no news, and what we have no word for is nothing to tell."""
    await endpoints.add(receiver.url, [])
    draft = draft_of()
    await acceptor.accept(draft)
    words = ["accepted", "unknown", *outbound.EVENTS]
    await pool.execute(
        """insert into events (provider, event_id, recipient, event, word, reason, message_id, provider_message_id, at)
        select 'smtp', e, 'ada@example.com', e, e, '', $1, '', now() from unnest($2::text[]) as e
        where e not in ('sent')""",
        draft.id,
        words,
    )
    assert await record.match(pool) == len(words) - 1
    rows = await pool.fetch("select event from webhook_deliveries")
    assert sorted(row["event"] for row in rows) == sorted(set(outbound.EVENTS) - {"sent"})


async def test_a_message_that_ends_dead_or_failed_is_told_as_failed(
    endpoints: Endpoints, receiver: Any, acceptor: Any, draft_of: Any, start_role: Any, settings_of: Any, sink: Any,
    sealing_key: str, pool: asyncpg.Pool, eventually: Any,
) -> None:  # fmt: skip
    await endpoints.add(receiver.url, [])
    sink.on_recipient = lambda _: "550 5.1.1 no such user"
    await acceptor.accept(draft_of())
    lost = draft_of()
    await acceptor.accept(lost)
    await pool.execute(
        "update queue set state = $2, owner = 4711, attempts = 12 where id = $1", lost.id, State.SENDING
    )  # its worker died in its last try
    start_role("worker", settings_of(smtp_url=sink.url, sealing_key=sealing_key, egress_allow="127.0.0.0/8"))
    await eventually(lambda: len(receiver.told) == 2)
    assert {json.loads(told.body)["type"] for told in receiver.told} == {"failed"}
