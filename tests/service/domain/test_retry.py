"""The wait between tries grows, is jittered, is capped, and ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.domain.retry import Policy, next_delay

policies = st.builds(
    Policy,
    attempts=st.integers(1, 10_000),
    base=st.floats(0.001, 1e6, allow_nan=False),
    cap=st.floats(0.001, 1e6, allow_nan=False),
)
chances = st.floats(0, 1, exclude_max=True)


@given(policies, st.integers(1, 20_000), chances)
def test_there_is_a_delay_exactly_until_the_last_attempt(policy, attempt, chance):
    assert (next_delay(policy, attempt, chance) is None) == (attempt >= policy.attempts)


@given(policies, st.integers(1, 20_000), chances)
def test_the_delay_lies_between_half_a_step_and_the_step_and_never_above_the_cap(policy, attempt, chance):
    delay = next_delay(policy, attempt, chance)
    if delay is not None:
        step = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 60))
        assert step / 2 <= delay <= step <= policy.cap


@given(policies, st.integers(1, 1000), chances)
def test_a_later_attempt_never_waits_less_with_the_same_die(policy, attempt, chance):
    first, second = next_delay(policy, attempt, chance), next_delay(policy, attempt + 1, chance)
    if first is not None and second is not None:
        assert first <= second


def test_the_steps_double_from_the_base_to_the_cap():
    policy = Policy(attempts=9, base=5, cap=60)
    assert [next_delay(policy, n, chance=0.0) for n in range(1, 10)] == [2.5, 5, 10, 20, 30, 30, 30, 30, None]


def test_without_a_given_chance_the_delay_is_jittered():
    delays = {next_delay(Policy(), 5) for _ in range(50)}
    assert len(delays) > 40
    assert all(40 <= delay <= 80 for delay in delays)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_policy_of_one_attempt_never_tries_again(attempt):
    assert next_delay(Policy(attempts=1), attempt) is None
