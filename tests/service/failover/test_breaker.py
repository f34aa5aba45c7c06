"""The breaker's decisions: the machine by itself, the same machine inside Valkey, and processes that share it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from mailboat.db import valkey
from mailboat.limits import breaker
from mailboat.limits.breaker import CLOSED, Breakers, Circuit, Policy, policy_of, step

POLICY = Policy(failures=3, window=10.0, cooldown=20.0)
ACTS = st.tuples(
    st.sampled_from(["fail", "fail", "fail", "succeed", "ask", "renew", "release", "reset"]),
    st.sampled_from([0.0, 0.5, 4.0, 11.0, 21.0]),  # seconds since the act before
    st.integers(0, 2),  # how many epochs ago it began
    st.sampled_from(["", "one", "two"]),
)


def played(acts: list[Any], policy: Policy = POLICY) -> list[tuple[float, str, Circuit, Circuit]]:
    """(now, act, before, after) for each act."""
    now, circuit, found = 1000.0, CLOSED, []
    for act, later, ago, probe in acts:
        now += later
        after = step(circuit, act, now, policy, epoch=max(0, circuit.epoch - ago), probe=probe)
        found.append((now, act, circuit, after))
        circuit = after
    return found


@given(st.lists(ACTS, max_size=60))
def test_a_circuit_opens_only_by_so_many_failures_within_the_window(acts: list[Any]) -> None:
    failures: list[float] = []
    for now, act, before, after in played(acts):
        if before.state == "closed" and act == "fail" and after != before:
            failures.append(now)
            recent = [at for at in failures if at > now - POLICY.window]
            assert (after.state == "open") == (len(recent) >= POLICY.failures)
        if after.epoch != before.epoch:
            failures.clear()


@given(st.lists(ACTS, max_size=60))
def test_nothing_is_tried_before_the_cooldown_is_over(acts: list[Any]) -> None:
    for now, act, before, after in played(acts):
        if before.state == "open" and after.state == "half-open":
            assert act == "ask"
            assert now >= before.until


@given(st.lists(ACTS, max_size=60))
def test_a_live_probe_is_alone(acts: list[Any]) -> None:
    for now, _, before, after in played(acts):
        if before.state == after.state == "half-open" and before.probe != after.probe:
            assert now >= before.until


@given(st.lists(ACTS, max_size=60))
def test_only_its_own_probe_or_a_person_moves_a_half_open_circuit(acts: list[Any]) -> None:
    circuit = CLOSED
    now = 1000.0
    for act, later, ago, probe in acts:
        now += later
        after = step(circuit, act, now, POLICY, epoch=max(0, circuit.epoch - ago), probe=probe)
        if circuit.state == "half-open" and after.state != "half-open":
            assert act == "reset" or probe == circuit.probe
        circuit = after


@given(st.lists(ACTS, max_size=60))
def test_what_was_sent_before_a_change_says_nothing_after_it(acts: list[Any]) -> None:
    for now, act, before, _ in played(acts):
        if act == "fail" and before.epoch > 0:
            stale = step(before, "fail", now, POLICY, epoch=before.epoch - 1)
            assert stale == before


def test_a_circuit_goes_the_whole_way_round() -> None:
    circuit = CLOSED
    for now in (1.0, 2.0, 3.0):
        circuit = step(circuit, "fail", now, POLICY, epoch=circuit.epoch)
    assert (circuit.state, circuit.until) == ("open", 23.0)
    assert step(circuit, "ask", 22.9, POLICY, probe="p") == circuit
    circuit = step(circuit, "ask", 23.0, POLICY, probe="p")
    assert circuit.state == "half-open"
    failed = step(circuit, "fail", 24.0, POLICY, probe="p")
    assert (failed.state, failed.until) == ("open", 44.0)
    assert step(circuit, "succeed", 24.0, POLICY, probe="p").state == "closed"


def test_the_spec_of_a_provider_is_a_policy() -> None:
    assert policy_of({}) == Policy(5, 60.0, 120.0)
    assert policy_of({"failures": 2, "window": "5m", "cooldown": "1h"}) == Policy(2, 300.0, 3600.0)


@given(acts=st.lists(ACTS, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_valkey_decides_as_the_machine_does(acts: list[Any], redis_url: str, aside: Any) -> None:
    async def play() -> None:
        async with Redis.from_url(redis_url) as redis:
            await redis.flushdb()
            circuit, now = CLOSED, 1000.0
            for act, later, ago, probe in acts:
                now += later
                epoch = max(0, circuit.epoch - ago)
                before, circuit = circuit, step(circuit, act, now, POLICY, epoch=epoch, probe=probe)
                kept, _, moved = await redis.eval(
                    breaker.SCRIPT, 1, "circuit", act, *msgspec.structs.astuple(POLICY), epoch, probe,
                    breaker.PROBE_SECONDS, 60, now,
                )  # fmt: skip
                assert (msgspec.json.decode(kept, type=Circuit) if kept else CLOSED) == circuit
                assert bool(moved) == (before.state != circuit.state)

    aside.run(play())


class Process:
    """What one process knows of the circuits."""

    def __init__(self, redis: Redis | None) -> None:
        self.changes: list[tuple[str, str]] = []
        self.breakers = Breakers(redis, lambda key, state, _: self.changes.append((key, state)))

    async def fail(self, times: int, policy: Policy) -> None:
        for _ in range(times):
            permit = await self.breakers.enter("smtp", policy)
            assert permit is not None
            await self.breakers.leave(permit, "down")


async def test_failures_of_all_processes_count_together(redis: Redis) -> None:
    one, two = Process(redis), Process(redis)
    await one.fail(2, POLICY)
    await two.fail(1, POLICY)
    assert two.changes == [("smtp", "open")]
    assert await two.breakers.enter("smtp", POLICY) is None
    assert await one.breakers.enter("smtp", POLICY) is not None  # not heard of it yet
    await one.breakers.refresh()
    assert await one.breakers.enter("smtp", POLICY) is None
    assert one.breakers.wait("smtp") == pytest.approx(POLICY.cooldown, abs=5)


async def test_exactly_one_of_many_processes_probes(redis: Redis) -> None:
    policy = Policy(failures=1, window=10.0, cooldown=0.0)
    processes = [Process(redis) for _ in range(8)]
    await processes[0].fail(1, policy)
    for process in processes:
        process.breakers.know("smtp")
        await process.breakers.refresh()
    permits = await asyncio.gather(*(process.breakers.enter("smtp", policy) for process in processes for _ in range(5)))
    probes = [permit for permit in permits if permit is not None]
    assert len(probes) == 1
    assert probes[0].probe
    owner = next(process for process in processes if ("smtp", "half-open") in process.changes)
    await owner.breakers.leave(probes[0], None)
    assert owner.changes[-1] == ("smtp", "closed")


async def test_a_probe_that_sent_nothing_is_left_to_another(redis: Redis) -> None:
    policy = Policy(failures=1, window=10.0, cooldown=0.0)
    process = Process(redis)
    await process.fail(1, policy)
    first = await process.breakers.enter("smtp", policy)
    assert first is not None
    assert await process.breakers.enter("smtp", policy) is None
    await process.breakers.release(first)
    assert await process.breakers.enter("smtp", policy) is not None


async def test_without_valkey_each_process_keeps_its_own(own_valkey: Any) -> None:
    client = valkey.client(own_valkey.url())
    one, two = Process(client), Process(client)
    await one.fail(2, POLICY)
    own_valkey.stop()
    await one.fail(1, POLICY)  # with the two that Valkey has told of
    assert one.breakers.state("smtp") == "open"
    assert await two.breakers.enter("smtp", POLICY) is not None
    await client.aclose()


async def test_a_closed_circuit_asks_valkey_nothing(redis: Redis) -> None:
    process = Process(redis)
    for _ in range(1000):
        permit = await process.breakers.enter("smtp", POLICY)
        assert permit is not None
        await process.breakers.leave(permit, None)
    assert process.breakers.calls == 0


async def test_what_a_person_opened_stays_open(redis: Redis) -> None:
    process = Process(redis)
    process.breakers.force(frozenset({"smtp"}))
    assert process.breakers.state("smtp") == "open"
    assert await process.breakers.enter("smtp", POLICY) is None
    process.breakers.force(frozenset())
    assert await process.breakers.enter("smtp", POLICY) is not None
