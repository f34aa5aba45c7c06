"""Buckets: never more than the burst and what time has brought, in one process and in many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailboat.db import valkey
from mailboat.limits import bucket
from mailboat.limits.bucket import Buckets, LocalBuckets, Rate

rates = st.builds(Rate, st.just(1), st.integers(1, 100_000), st.integers(1, 1000))
# Steps of (seconds since the step before, tokens wanted, all or none).
steps = st.lists(st.tuples(st.integers(0, 4_000_000).map(lambda n: n / 1000), st.integers(1, 1500), st.booleans()))

# The same script with a clock in the test's hand: ARGV[5] holds the seconds.
CLOCKED = bucket.TAKE.replace("redis.call('TIME')", "{ARGV[5], '0'}")


def whole(rate: Rate, wanted: int) -> Rate:
    return Rate(rate.client_id, rate.per_minute, rate.burst, whole=wanted)


def granted(decided: list[Any], wanted: int) -> int:
    """How many tokens these decisions gave; a batch has one decision."""
    return wanted * decided[0].allowed if len(decided) != wanted else sum(one.allowed for one in decided)


@given(rates, steps)
def test_no_stretch_of_time_brings_more_than_the_burst_and_what_flows_in(rate, steps):
    local, now, given_at = LocalBuckets(), 0.0, []
    for pause, wanted, _ in steps:
        now += pause
        given_at.append((now, sum(one.allowed for one in local.take(rate, wanted, now))))
    for first in range(len(given_at)):
        for last in range(first, len(given_at)):
            seconds = given_at[last][0] - given_at[first][0]
            most = rate.burst + seconds * rate.per_minute / 60
            assert sum(count for _, count in given_at[first : last + 1]) <= most + 1e-6


@given(rates, steps)
def test_batches_never_bring_more_in_the_long_run_either(rate, steps):
    """A batch larger than the bucket leaves a debt: what follows waits until it is paid."""
    local, now, total, largest = LocalBuckets(), 0.0, 0, rate.burst
    for pause, wanted, all_or_none in steps:
        now += pause
        kind = whole(rate, wanted) if all_or_none else rate
        largest = max(largest, wanted if all_or_none else 0)
        total += granted(local.take(kind, wanted, now), wanted)
        assert total <= largest + now * rate.per_minute / 60 + 1e-6


@given(rates, st.integers(1, 2000), st.integers(1, 2000))
def test_the_first_requests_are_allowed_and_each_hears_what_is_left(rate, wanted, before):
    local = LocalBuckets()
    local.take(rate, before, 0.0)
    decided = local.take(rate, wanted, 0.0)
    allowed = [one.allowed for one in decided]
    assert len(decided) == wanted
    assert allowed == sorted(allowed, reverse=True)
    left = [one.remaining for one in decided if one.allowed]
    assert left == list(range(max(0, rate.burst - before) - 1, max(0, rate.burst - before) - 1 - len(left), -1))
    assert all(one.remaining == 0 and one.retry_after >= 1 for one in decided if not one.allowed)
    assert all(one.retry_after == 0 for one in decided if one.allowed)


@given(rates, st.integers(1, 2000), st.booleans())
def test_whoever_waits_as_long_as_told_is_let_through(rate, wanted, all_or_none):
    local = LocalBuckets()
    kind = whole(rate, wanted) if all_or_none else rate
    for _ in range(3):
        decided = local.take(kind, wanted, 0.0)
    refused = decided[-1]
    if not refused.allowed:
        again = whole(rate, wanted) if all_or_none else rate
        assert local.take(again, wanted if all_or_none else 1, float(refused.retry_after))[0].allowed


def test_a_batch_gets_all_of_its_tokens_or_none():
    local, rate = LocalBuckets(), Rate(1, 60, 10)
    assert [one.allowed for one in local.take(whole(rate, 6), 6, 0.0)] == [True]
    assert [one.allowed for one in local.take(whole(rate, 6), 6, 0.0)] == [False]
    assert [one.allowed for one in local.take(whole(rate, 4), 4, 0.0)] == [True]


def test_a_batch_larger_than_the_bucket_needs_a_full_one_and_leaves_a_debt():
    local, rate = LocalBuckets(), Rate(1, 60, 10)
    assert local.take(whole(rate, 25), 25, 0.0)[0].allowed
    assert local.take(rate, 1, 15.9)[0].allowed is False
    assert local.take(rate, 1, 16.0)[0].allowed


def test_a_clock_that_goes_back_brings_nothing():
    local, rate = LocalBuckets(), Rate(1, 60, 2)
    local.take(rate, 2, 100.0)
    assert not local.take(rate, 1, 50.0)[0].allowed
    assert local.take(rate, 1, 51.0)[0].allowed


# --- in Valkey


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=rates, steps=steps)
def test_valkey_reckons_as_this_process_does(rate, steps, redis_url, aside):
    async def compare() -> None:
        async with valkey.client(redis_url) as redis:
            await redis.delete("bucket")
            local, now = LocalBuckets(), 1_000_000.0
            for pause, wanted, all_or_none in [*steps, (-5.0, 1, False)]:  # clocks go back, too
                now += pause
                kind = whole(rate, wanted) if all_or_none else rate
                flow = rate.per_minute / 60
                there, level = await redis.eval(
                    CLOCKED, 1, "bucket", rate.burst, flow, wanted, int(all_or_none), repr(now)
                )
                here, before = granted(local.take(kind, wanted, now), wanted), float(level) + int(there)
                if int(there) != here:  # only at the very edge of a token, where the two may round differently
                    assert abs(before - round(before)) < 1e-3
                    return
                assert abs(float(level) - local._levels[1][0]) < 1e-3

    assert CLOCKED != bucket.TAKE
    aside.run(compare())


async def test_the_level_in_valkey_is_forgotten_when_it_would_be_full(redis):
    await Buckets(redis).take_many([Rate(7, 600, 5)] * 5)
    assert 500 <= await redis.pttl("mailboat:bucket:7") <= 1500


async def test_two_processes_share_a_bucket(redis):
    one, other = Buckets(redis), Buckets(redis)
    rate = Rate(1, 1, 100)
    decided = await asyncio.gather(*(buckets.take_many([rate] * 40) for buckets in (one, other) * 4))
    assert sum(decision.allowed for answers in decided for decision in answers) == 100
    assert (one.local_decisions, other.local_decisions) == (0, 0)


async def test_each_of_a_mixed_lot_gets_its_own_answer_in_order(redis):
    a, b = Rate(1, 1, 1), Rate(2, 1, 2)
    lot = [a, b, whole(b, 2), a, b, whole(b, 2), whole(a, 1)]
    decided = await Buckets(redis).take_many(lot)
    assert [one.allowed for one in decided] == [True, True, False, False, True, False, False]


@pytest.fixture
async def own_redis(own_valkey: Any) -> Any:
    redis = valkey.client(own_valkey.url())
    yield redis
    await redis.aclose()


async def test_without_valkey_this_process_counts_for_itself_and_with_it_all_count_together_again(
    own_valkey, own_redis, eventually
):
    buckets, rate = Buckets(own_redis), Rate(1, 1, 3)
    assert [one.allowed for one in await buckets.take_many([rate] * 2)] == [True, True]
    await asyncio.to_thread(own_valkey.stop)
    assert [one.allowed for one in await buckets.take_many([rate] * 5)] == [True] * 3 + [False] * 2
    assert buckets.local_decisions == 5
    await asyncio.to_thread(own_valkey.start)

    async def shared_again() -> bool:
        before = buckets.local_decisions
        await buckets.take_many([rate])
        return buckets.local_decisions == before

    await eventually(shared_again)


async def test_a_process_that_never_had_valkey_counts_for_itself():
    buckets, rate = Buckets(), Rate(1, 1, 3)
    assert [one.allowed for one in await buckets.take_many([rate] * 4)] == [True] * 3 + [False]
    assert buckets.local_decisions == 4
