"""Status: facts in any order, any number of times, add up to the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.domain import events, status
from mailboat.domain.status import Fact, merge

WORDS = (*status.RANK, "a word of tomorrow", "another")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
FACTS = st.builds(
    Fact,
    st.sampled_from(WORDS),
    st.sampled_from(["", "soft", "hard"]),
    st.integers(0, 5).map(lambda n: NOW + timedelta(seconds=n)),
    st.sampled_from(["", "250 OK", "550 no"]),
)


def test_merge_is_a_semilattice_over_all_triples():
    for a, b, c in itertools.product(WORDS, repeat=3):
        assert merge(a, a) == a
        assert merge(a, b) == merge(b, a)
        assert merge(a, merge(b, c)) == merge(merge(a, b), c)
        assert merge(merge(a, b), b) == merge(a, b)


def test_merge_knows_every_word():
    for word in (*get_args(events.Word), *get_args(status.Status)):
        assert word in status.RANK
        assert status.shown(word) in get_args(status.Status) or word == "unknown"


@pytest.mark.parametrize(
    ("earlier", "later", "wins"),
    [
        ("sent", "delivered", "delivered"),
        ("delivered", "deferred", "delivered"),
        ("delivered", "bounced", "bounced"),
        ("bounced", "opened", "bounced"),
        ("complained", "delivered", "complained"),
        ("sending", "delivered", "delivered"),
        ("dead", "delivered", "delivered"),
        ("sent", "accepted", "sent"),
        ("sent", "rejected", "rejected"),
        ("delivered", "unknown", "delivered"),
        ("queued", "unknown", "queued"),
    ],
)
def test_the_fact_that_comes_later_on_a_mails_way_wins(earlier, later, wins):
    assert merge(earlier, later) == merge(later, earlier) == wins


@given(st.lists(FACTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_order_and_repeats_change_nothing(facts, chance):
    expected = status.strongest(facts)
    shuffled = facts * 2
    chance.shuffle(shuffled)
    assert status.strongest(shuffled) == expected
    words = [fact.word for fact in facts]
    merged = words[0]
    for word in words[1:]:
        merged = merge(merged, word)
    assert expected.word == merged


def test_a_hard_bounce_decides_over_a_soft_one_whichever_comes_last():
    soft, hard = Fact("bounced", "soft", NOW + timedelta(1), "full"), Fact("bounced", "hard", NOW, "no such user")
    assert status.strongest([soft, hard]) == status.strongest([hard, soft]) == hard


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        (["delivered"], "delivered"),
        (["delivered", "sent"], "sent"),
        (["delivered", "bounced"], "bounced"),
        (["bounced", "complained", "delivered"], "complained"),
        (["sent", "failed"], "sent"),
        (["failed", "failed"], "failed"),
        (["delivered", "scheduled"], "scheduled"),
        (["delivered", "deferred"], "deferred"),
        ([], "failed"),
    ],
)
def test_a_message_is_as_far_as_its_recipients_and_as_bad_as_the_worst(recipients, expected):
    for order in itertools.permutations(recipients):
        assert status.overall(order) == expected
