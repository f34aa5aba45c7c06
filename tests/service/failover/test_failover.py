"""Failover with real workers, PostgreSQL, Valkey and mail servers."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from mailboat.db.states import State
from mailboat.limits.breaker import TICK_SECONDS

DOWN = "421 4.3.2 shutting down"
MAILS = int(os.environ.get("CHAOS_MAILS", "1000"))  # while providers flap


@pytest.fixture
def sent(query: Callable[..., Any]) -> Callable[..., int]:
    """sent(): how many messages a provider has taken."""
    return lambda: query("select count(*) from queue where state = $1", State.SENT)[0][0]


async def test_the_next_provider_takes_the_mail_in_the_same_delivery(
    routed: Any,
    send: Any,
    start_role: Any,
    settings: Any,
    sink: Any,
    backup: Any,
    query: Any,
    eventually: Any,
    sent: Any,
) -> None:
    sink.on_body = lambda _: DOWN
    start_role("worker", settings)
    (identifier,) = await send(routed)
    await eventually(lambda: sent() == 1)
    assert backup.ids == [identifier]
    rows = query("select number, provider, outcome from attempts where message_id = $1 order by number", identifier)
    assert [tuple(row) for row in rows] == [(1, "primary", "retryable"), (2, "secondary", "sent")]
    row = query("select attempts, forgiven, provider, error from queue where id = $1", identifier)[0]
    assert tuple(row) == (2, 1, "secondary", None)


async def test_after_the_threshold_the_unwell_provider_is_asked_no_more(
    new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any,
    eventually: Any, sent: Any,
) -> None:  # fmt: skip
    declare("primary", sink, failures=5, window="60s", cooldown="1h")
    declare("secondary", backup)
    client = new_client("shop", route=["primary", "secondary"])
    sink.on_body = lambda _: DOWN
    start_role("worker", settings)
    await send(client, 100)
    await eventually(lambda: sent() == 100)
    tries = Counter(row[0] for row in query("select provider from attempts"))
    # What was with it when the threshold was passed, no more: maxConcurrent is 4.
    assert 5 <= tries["primary"] <= 5 + 4
    assert tries["secondary"] == 100
    asked = len(sink.taken)
    await send(client, 100)
    await eventually(lambda: sent() == 200)
    assert len(sink.taken) == asked
    assert query("select sum(attempts - forgiven) from queue")[0][0] == 200


async def test_the_metrics_tell_what_moved_on_and_which_circuit_is_open(
    new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, free_port: Any,
    eventually: Any, sent: Any,
) -> None:  # fmt: skip
    declare("primary", sink, failures=1, window="60s", cooldown="1h")
    declare("secondary", backup)
    sink.on_body = lambda _: DOWN
    port = free_port()
    start_role("worker", msgspec.structs.replace(settings, metrics_port=port))
    await send(new_client("shop", route=["primary", "secondary"]))
    await eventually(lambda: sent() == 1)

    def told() -> set[str]:
        return set(httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines())

    await eventually(lambda: 'mailboat_circuit_open{provider="default/primary"} 1' in told())
    assert {
        'mailboat_attempts_total{provider="primary",outcome="retryable",ends="moved"} 1',
        'mailboat_attempts_total{provider="secondary",outcome="sent",ends="sent"} 1',
        'mailboat_circuit_open{provider="default/secondary"} 0',
    } <= told()


async def test_mail_comes_back_to_a_provider_that_is_well_again(
    routed: Any, send: Any, start_role: Any, settings: Any, sink: Any, query: Any, eventually: Any, sent: Any
) -> None:
    sink.on_body = lambda _: DOWN
    start_role("worker", settings)
    await send(routed, 20)
    await eventually(lambda: sent() == 20)
    sink.on_body = lambda _: None

    async def comes_back() -> bool:
        await send(routed)
        return "sent" in {row[0] for row in query("select outcome from attempts where provider = 'primary'")}

    await eventually(comes_back)
    changes = "select state from circuit_changes where provider = 'default/primary' order by id"
    await eventually(lambda: query(changes)[-1][0] == "closed")
    assert [row[0] for row in query(changes)][-3:] == ["open", "half-open", "closed"]


async def test_while_no_provider_is_well_mail_waits_and_burns_no_attempts(
    routed: Any, send: Any, start_role: Any, settings_of: Any, sink: Any, backup: Any, query: Any, eventually: Any,
    sent: Any, declare: Any,
) -> None:  # fmt: skip
    for name, server in (("primary", sink), ("secondary", backup)):
        declare(name, server, failures=1, window="60s", cooldown="1s")
        server.on_body = lambda _: DOWN
    start_role("worker", settings_of(retry_attempts=3))
    identifiers = await send(routed, 50)
    asked = "select count(*) from queue where attempts = 0 and state = 0 and error like 'waits until a provider%'"
    await eventually(lambda: query(asked)[0][0] >= 40)
    for server in (sink, backup):
        server.on_body = lambda _: None
    await eventually(lambda: sent() == 50)
    assert set(sink.ids + backup.ids) == set(identifiers)
    assert query("select count(*) from queue where state <> $1", State.SENT)[0][0] == 0


async def test_a_person_can_take_a_provider_out_and_put_it_back(
    routed: Any,
    send: Any,
    start_role: Any,
    settings: Any,
    sink: Any,
    backup: Any,
    query: Any,
    eventually: Any,
    sent: Any,
) -> None:
    decide = "insert into circuit_changes (provider, state, manual, reason) values ('default/primary', $1, true, '')"
    query(decide, "open")
    start_role("worker", settings)
    await send(routed, 10)
    await eventually(lambda: sent() == 10)
    assert (len(sink.taken), len(backup.taken)) == (0, 10)
    query(decide, "closed")

    async def is_back() -> bool:
        await send(routed)
        return bool(sink.taken)

    await eventually(is_back)


@pytest.mark.parametrize(("policy", "copies"), [("hold", 0), ("resend", 1)])
async def test_what_may_have_been_sent_goes_to_another_provider_only_by_policy(
    policy: str, copies: int, new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any,
    backup: Any, query: Any, eventually: Any,
) -> None:  # fmt: skip
    declare("primary", sink)
    declare("secondary", backup)
    client = new_client("shop", route=["primary", "secondary"], on_uncertain=policy)
    sink.on_body = lambda _: "cut"
    start_role("worker", settings)
    await send(client)
    ends = State.HELD if policy == "hold" else State.SENT
    await eventually(lambda: query("select state from queue")[0][0] == ends)
    assert len(backup.taken) == copies


async def test_a_refused_recipient_says_nothing_about_the_provider(
    routed: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any, eventually: Any
) -> None:
    sink.on_recipient = lambda _: "550 5.1.1 no such user"
    start_role("worker", settings)
    await send(routed, 30)
    await eventually(lambda: query("select count(*) from queue where state = $1", State.FAILED)[0][0] == 30)
    assert not backup.taken
    assert not query("select 1 from circuit_changes")


async def test_two_workers_probe_once(
    routed: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any, eventually: Any,
    declare: Any, sent: Any,
) -> None:  # fmt: skip
    declare("primary", sink, failures=5, window="60s", cooldown="2s")
    sink.on_body = lambda _: DOWN
    for _ in range(2):
        start_role("worker", settings)
    await send(routed, 60)
    await eventually(lambda: sent() == 60)
    await asyncio.sleep(2 * TICK_SECONDS)  # until both have heard that it is open
    before = len(sink.taken)

    async def answer(_: Any) -> str:
        await asyncio.sleep(0.5)  # time for many others to try as well
        return DOWN

    sink.on_body = answer
    halves = "select count(*) from circuit_changes where provider = 'default/primary' and state = 'half-open'"

    async def probed_twice() -> bool:
        await send(routed, 20)
        await asyncio.sleep(0.1)
        return query(halves)[0][0] >= 2

    await eventually(probed_twice)
    await eventually(lambda: query(halves)[0][0] == len(sink.taken) - before)
    assert query("select sum(attempts - forgiven) from queue where state = $1", State.SENT)[0][0] == sent()


async def test_nothing_is_lost_while_providers_flap(
    routed: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any, eventually: Any
) -> None:
    chance = random.Random(6)
    well = {id(sink): True, id(backup): True}
    bad = [DOWN, "451 4.3.0 later", "cut"]
    for server in (sink, backup):
        server.on_body = lambda _, server=server: None if well[id(server)] else chance.choice(bad)

    async def flap() -> None:
        while True:
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            well[chance.choice(list(well))] ^= True

    flapping = asyncio.create_task(flap())
    for _ in range(2):
        start_role("worker", settings)
    identifiers = await send(routed, MAILS)
    unsettled = "select count(*) from queue where state in (0, 1, 2)"
    left = MAILS
    try:
        while left:
            await eventually(lambda before=left: query(unsettled)[0][0] < before)  # it always goes on
            if (left := query(unsettled)[0][0]) < MAILS // 10:
                flapping.cancel()
                well.update(dict.fromkeys(well, True))
    finally:
        flapping.cancel()
    states = Counter(row[0] for row in query("select state from queue"))
    assert states.keys() <= {State.SENT, State.DEAD}
    arrived = set(sink.ids) | set(backup.ids)
    assert {row[0] for row in query("select id from queue where state = $1", State.SENT)} <= arrived
    assert len(set(identifiers)) == sum(states.values()) == MAILS
    wrong = query(
        """select q.id, q.attempts, count(a.*) from queue q left join attempts a on a.message_id = q.id group by q.id
        having count(a.*) <> q.attempts or count(*) filter (where a.outcome = 'sent') <> (q.state = 3)::int"""
    )
    assert not wrong
    # Each row of an attempt was on the wire, some of them twice: 421 on a used connection is asked again on a new one.
    seen, rows = Counter(sink.ids + backup.ids), query("select id, attempts, attempts - forgiven from queue")
    assert not [row for row in rows if not row[1] <= seen[row[0]] <= 2 * row[1]]
    taken = {"primary": set(sink.ids), "secondary": set(backup.ids)}
    booked = query("select message_id, provider from attempts where outcome = 'sent'")
    assert not [row for row in booked if row[0] not in taken[row[1]]]
    gave_up = query("select attempts - forgiven from queue where state = $1", State.DEAD)
    assert {row[0] for row in gave_up} <= {settings.retry_attempts}
